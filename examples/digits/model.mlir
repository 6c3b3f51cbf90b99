module @jit_network attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<32x8x8xf32>, %arg1: tensor<3x3x1x16xbf16>, %arg2: tensor<16xf32>, %arg3: tensor<3x3x16x32xbf16>, %arg4: tensor<32xf32>, %arg5: tensor<3x3x32x64xbf16>, %arg6: tensor<64xf32>, %arg7: tensor<256x64xbf16>, %arg8: tensor<64xf32>, %arg9: tensor<64x10xbf16>, %arg10: tensor<10xf32>) -> (tensor<32x10xf32> {jax.result_info = "result"}) {
    %cst = stablehlo.constant dense<1.600000e+01> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<32x8x8xf32>
    %1 = stablehlo.divide %arg0, %0 : tensor<32x8x8xf32>
    %2 = stablehlo.convert %1 : (tensor<32x8x8xf32>) -> tensor<32x8x8xbf16>
    %3 = stablehlo.broadcast_in_dim %2, dims = [0, 1, 2] : (tensor<32x8x8xbf16>) -> tensor<32x8x8x1xbf16>
    %4 = stablehlo.convolution(%3, %arg1) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [1, 1], pad = [[1, 1], [1, 1]], lhs_dilate = [1, 1], rhs_dilate = [1, 1], reverse = [false, false]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64, precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>]} : (tensor<32x8x8x1xbf16>, tensor<3x3x1x16xbf16>) -> tensor<32x8x8x16xf32>
    %5 = stablehlo.broadcast_in_dim %arg2, dims = [3] : (tensor<16xf32>) -> tensor<1x1x1x16xf32>
    %6 = stablehlo.broadcast_in_dim %5, dims = [0, 1, 2, 3] : (tensor<1x1x1x16xf32>) -> tensor<32x8x8x16xf32>
    %7 = stablehlo.add %4, %6 : tensor<32x8x8x16xf32>
    %8 = call @relu(%7) : (tensor<32x8x8x16xf32>) -> tensor<32x8x8x16xf32>
    %9 = stablehlo.convert %8 : (tensor<32x8x8x16xf32>) -> tensor<32x8x8x16xbf16>
    %10 = stablehlo.convolution(%9, %arg3) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [1, 1], pad = [[1, 1], [1, 1]], lhs_dilate = [1, 1], rhs_dilate = [1, 1], reverse = [false, false]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64, precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>]} : (tensor<32x8x8x16xbf16>, tensor<3x3x16x32xbf16>) -> tensor<32x8x8x32xf32>
    %11 = stablehlo.broadcast_in_dim %arg4, dims = [3] : (tensor<32xf32>) -> tensor<1x1x1x32xf32>
    %12 = stablehlo.broadcast_in_dim %11, dims = [0, 1, 2, 3] : (tensor<1x1x1x32xf32>) -> tensor<32x8x8x32xf32>
    %13 = stablehlo.add %10, %12 : tensor<32x8x8x32xf32>
    %14 = call @relu_0(%13) : (tensor<32x8x8x32xf32>) -> tensor<32x8x8x32xf32>
    %15 = stablehlo.convert %14 : (tensor<32x8x8x32xf32>) -> tensor<32x8x8x32xbf16>
    %cst_0 = stablehlo.constant dense<0xFF80> : tensor<bf16>
    %16 = stablehlo.broadcast_in_dim %cst_0, dims = [] : (tensor<bf16>) -> tensor<bf16>
    %17 = "stablehlo.reduce_window"(%15, %16) <{base_dilations = array<i64: 1, 1, 1, 1>, padding = dense<0> : tensor<4x2xi64>, window_dilations = array<i64: 1, 1, 1, 1>, window_dimensions = array<i64: 1, 2, 2, 1>, window_strides = array<i64: 1, 2, 2, 1>}> ({
    ^bb0(%arg11: tensor<bf16>, %arg12: tensor<bf16>):
      %35 = stablehlo.maximum %arg11, %arg12 : tensor<bf16>
      stablehlo.return %35 : tensor<bf16>
    }) : (tensor<32x8x8x32xbf16>, tensor<bf16>) -> tensor<32x4x4x32xbf16>
    %18 = stablehlo.convolution(%17, %arg5) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [2, 2], pad = [[1, 1], [1, 1]], lhs_dilate = [1, 1], rhs_dilate = [1, 1], reverse = [false, false]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64, precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>]} : (tensor<32x4x4x32xbf16>, tensor<3x3x32x64xbf16>) -> tensor<32x2x2x64xf32>
    %19 = stablehlo.broadcast_in_dim %arg6, dims = [3] : (tensor<64xf32>) -> tensor<1x1x1x64xf32>
    %20 = stablehlo.broadcast_in_dim %19, dims = [0, 1, 2, 3] : (tensor<1x1x1x64xf32>) -> tensor<32x2x2x64xf32>
    %21 = stablehlo.add %18, %20 : tensor<32x2x2x64xf32>
    %22 = call @relu_1(%21) : (tensor<32x2x2x64xf32>) -> tensor<32x2x2x64xf32>
    %23 = stablehlo.convert %22 : (tensor<32x2x2x64xf32>) -> tensor<32x2x2x64xbf16>
    %24 = stablehlo.reshape %23 : (tensor<32x2x2x64xbf16>) -> tensor<32x256xbf16>
    %25 = stablehlo.dot_general %24, %arg7, contracting_dims = [1] x [0], precision = [DEFAULT, DEFAULT] : (tensor<32x256xbf16>, tensor<256x64xbf16>) -> tensor<32x64xf32>
    %26 = stablehlo.broadcast_in_dim %arg8, dims = [1] : (tensor<64xf32>) -> tensor<1x64xf32>
    %27 = stablehlo.broadcast_in_dim %26, dims = [0, 1] : (tensor<1x64xf32>) -> tensor<32x64xf32>
    %28 = stablehlo.add %25, %27 : tensor<32x64xf32>
    %29 = call @relu_2(%28) : (tensor<32x64xf32>) -> tensor<32x64xf32>
    %30 = stablehlo.convert %29 : (tensor<32x64xf32>) -> tensor<32x64xbf16>
    %31 = stablehlo.dot_general %30, %arg9, contracting_dims = [1] x [0], precision = [DEFAULT, DEFAULT] : (tensor<32x64xbf16>, tensor<64x10xbf16>) -> tensor<32x10xf32>
    %32 = stablehlo.broadcast_in_dim %arg10, dims = [1] : (tensor<10xf32>) -> tensor<1x10xf32>
    %33 = stablehlo.broadcast_in_dim %32, dims = [0, 1] : (tensor<1x10xf32>) -> tensor<32x10xf32>
    %34 = stablehlo.add %31, %33 : tensor<32x10xf32>
    return %34 : tensor<32x10xf32>
  }
  func.func private @relu(%arg0: tensor<32x8x8x16xf32>) -> tensor<32x8x8x16xf32> {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<32x8x8x16xf32>
    %1 = stablehlo.maximum %arg0, %0 : tensor<32x8x8x16xf32>
    return %1 : tensor<32x8x8x16xf32>
  }
  func.func private @relu_0(%arg0: tensor<32x8x8x32xf32>) -> tensor<32x8x8x32xf32> {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<32x8x8x32xf32>
    %1 = stablehlo.maximum %arg0, %0 : tensor<32x8x8x32xf32>
    return %1 : tensor<32x8x8x32xf32>
  }
  func.func private @relu_1(%arg0: tensor<32x2x2x64xf32>) -> tensor<32x2x2x64xf32> {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<32x2x2x64xf32>
    %1 = stablehlo.maximum %arg0, %0 : tensor<32x2x2x64xf32>
    return %1 : tensor<32x2x2x64xf32>
  }
  func.func private @relu_2(%arg0: tensor<32x64xf32>) -> tensor<32x64xf32> {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
    %1 = stablehlo.maximum %arg0, %0 : tensor<32x64xf32>
    return %1 : tensor<32x64xf32>
  }
}
