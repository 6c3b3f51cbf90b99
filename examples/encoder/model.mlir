module @jit_block attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<1x64x128xf32>, %arg1: tensor<128x384xbf16>, %arg2: tensor<384xf32>, %arg3: tensor<128x128xbf16>, %arg4: tensor<128xf32>, %arg5: tensor<128x512xbf16>, %arg6: tensor<512xf32>, %arg7: tensor<512x128xbf16>, %arg8: tensor<128xf32>, %arg9: tensor<128xf32>, %arg10: tensor<128xf32>, %arg11: tensor<128xf32>, %arg12: tensor<128xf32>) -> (tensor<1x64x128xf32> {jax.result_info = "result"}) {
    %0 = stablehlo.reshape %arg0 : (tensor<1x64x128xf32>) -> tensor<64x128xf32>
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %1 = stablehlo.reduce(%0 init: %cst) applies stablehlo.add across dimensions = [1] : (tensor<64x128xf32>, tensor<f32>) -> tensor<64xf32>
    %2 = stablehlo.broadcast_in_dim %1, dims = [0] : (tensor<64xf32>) -> tensor<64x1xf32>
    %cst_0 = stablehlo.constant dense<1.280000e+02> : tensor<f32>
    %3 = stablehlo.broadcast_in_dim %cst_0, dims = [] : (tensor<f32>) -> tensor<64x1xf32>
    %4 = stablehlo.divide %2, %3 : tensor<64x1xf32>
    %5 = stablehlo.broadcast_in_dim %4, dims = [0, 1] : (tensor<64x1xf32>) -> tensor<64x128xf32>
    %6 = stablehlo.subtract %0, %5 : tensor<64x128xf32>
    %7 = stablehlo.multiply %6, %6 : tensor<64x128xf32>
    %cst_1 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %8 = stablehlo.reduce(%7 init: %cst_1) applies stablehlo.add across dimensions = [1] : (tensor<64x128xf32>, tensor<f32>) -> tensor<64xf32>
    %9 = stablehlo.broadcast_in_dim %8, dims = [0] : (tensor<64xf32>) -> tensor<64x1xf32>
    %cst_2 = stablehlo.constant dense<1.280000e+02> : tensor<f32>
    %10 = stablehlo.broadcast_in_dim %cst_2, dims = [] : (tensor<f32>) -> tensor<64x1xf32>
    %11 = stablehlo.divide %9, %10 : tensor<64x1xf32>
    %cst_3 = stablehlo.constant dense<9.99999974E-6> : tensor<f32>
    %12 = stablehlo.broadcast_in_dim %cst_3, dims = [] : (tensor<f32>) -> tensor<64x1xf32>
    %13 = stablehlo.add %11, %12 : tensor<64x1xf32>
    %14 = stablehlo.rsqrt %13 : tensor<64x1xf32>
    %15 = stablehlo.broadcast_in_dim %14, dims = [0, 1] : (tensor<64x1xf32>) -> tensor<64x128xf32>
    %16 = stablehlo.multiply %6, %15 : tensor<64x128xf32>
    %17 = stablehlo.broadcast_in_dim %arg9, dims = [1] : (tensor<128xf32>) -> tensor<1x128xf32>
    %18 = stablehlo.broadcast_in_dim %17, dims = [0, 1] : (tensor<1x128xf32>) -> tensor<64x128xf32>
    %19 = stablehlo.multiply %16, %18 : tensor<64x128xf32>
    %20 = stablehlo.broadcast_in_dim %arg10, dims = [1] : (tensor<128xf32>) -> tensor<1x128xf32>
    %21 = stablehlo.broadcast_in_dim %20, dims = [0, 1] : (tensor<1x128xf32>) -> tensor<64x128xf32>
    %22 = stablehlo.add %19, %21 : tensor<64x128xf32>
    %23 = stablehlo.convert %22 : (tensor<64x128xf32>) -> tensor<64x128xbf16>
    %24 = stablehlo.dot_general %23, %arg1, contracting_dims = [1] x [0], precision = [DEFAULT, DEFAULT] : (tensor<64x128xbf16>, tensor<128x384xbf16>) -> tensor<64x384xf32>
    %25 = stablehlo.broadcast_in_dim %arg2, dims = [1] : (tensor<384xf32>) -> tensor<1x384xf32>
    %26 = stablehlo.broadcast_in_dim %25, dims = [0, 1] : (tensor<1x384xf32>) -> tensor<64x384xf32>
    %27 = stablehlo.add %24, %26 : tensor<64x384xf32>
    %28 = stablehlo.convert %27 : (tensor<64x384xf32>) -> tensor<64x384xbf16>
    %29 = stablehlo.reshape %28 : (tensor<64x384xbf16>) -> tensor<64x3x4x32xbf16>
    %30 = stablehlo.transpose %29, dims = [1, 2, 0, 3] : (tensor<64x3x4x32xbf16>) -> tensor<3x4x64x32xbf16>
    %31 = stablehlo.slice %30 [0:1, 0:4, 0:64, 0:32] : (tensor<3x4x64x32xbf16>) -> tensor<1x4x64x32xbf16>
    %32 = stablehlo.reshape %31 : (tensor<1x4x64x32xbf16>) -> tensor<4x64x32xbf16>
    %33 = stablehlo.slice %30 [1:2, 0:4, 0:64, 0:32] : (tensor<3x4x64x32xbf16>) -> tensor<1x4x64x32xbf16>
    %34 = stablehlo.reshape %33 : (tensor<1x4x64x32xbf16>) -> tensor<4x64x32xbf16>
    %35 = stablehlo.slice %30 [2:3, 0:4, 0:64, 0:32] : (tensor<3x4x64x32xbf16>) -> tensor<1x4x64x32xbf16>
    %36 = stablehlo.reshape %35 : (tensor<1x4x64x32xbf16>) -> tensor<4x64x32xbf16>
    %37 = stablehlo.dot_general %32, %34, batching_dims = [0] x [0], contracting_dims = [2] x [2], precision = [DEFAULT, DEFAULT] : (tensor<4x64x32xbf16>, tensor<4x64x32xbf16>) -> tensor<4x64x64xf32>
    %cst_4 = stablehlo.constant dense<5.65685415> : tensor<f32>
    %38 = stablehlo.broadcast_in_dim %cst_4, dims = [] : (tensor<f32>) -> tensor<4x64x64xf32>
    %39 = stablehlo.divide %37, %38 : tensor<4x64x64xf32>
    %cst_5 = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %40 = stablehlo.reduce(%39 init: %cst_5) applies stablehlo.maximum across dimensions = [2] : (tensor<4x64x64xf32>, tensor<f32>) -> tensor<4x64xf32>
    %cst_6 = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %41 = stablehlo.broadcast_in_dim %cst_6, dims = [] : (tensor<f32>) -> tensor<4x64xf32>
    %42 = stablehlo.maximum %41, %40 : tensor<4x64xf32>
    %43 = stablehlo.broadcast_in_dim %42, dims = [0, 1] : (tensor<4x64xf32>) -> tensor<4x64x1xf32>
    %44 = stablehlo.broadcast_in_dim %43, dims = [0, 1, 2] : (tensor<4x64x1xf32>) -> tensor<4x64x64xf32>
    %45 = stablehlo.subtract %39, %44 : tensor<4x64x64xf32>
    %46 = stablehlo.exponential %45 : tensor<4x64x64xf32>
    %cst_7 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %47 = stablehlo.reduce(%46 init: %cst_7) applies stablehlo.add across dimensions = [2] : (tensor<4x64x64xf32>, tensor<f32>) -> tensor<4x64xf32>
    %48 = stablehlo.broadcast_in_dim %47, dims = [0, 1] : (tensor<4x64xf32>) -> tensor<4x64x1xf32>
    %49 = stablehlo.broadcast_in_dim %48, dims = [0, 1, 2] : (tensor<4x64x1xf32>) -> tensor<4x64x64xf32>
    %50 = stablehlo.divide %46, %49 : tensor<4x64x64xf32>
    %51 = stablehlo.convert %50 : (tensor<4x64x64xf32>) -> tensor<4x64x64xbf16>
    %52 = stablehlo.dot_general %51, %36, batching_dims = [0] x [0], contracting_dims = [2] x [1], precision = [DEFAULT, DEFAULT] : (tensor<4x64x64xbf16>, tensor<4x64x32xbf16>) -> tensor<4x64x32xf32>
    %53 = stablehlo.transpose %52, dims = [1, 0, 2] : (tensor<4x64x32xf32>) -> tensor<64x4x32xf32>
    %54 = stablehlo.reshape %53 : (tensor<64x4x32xf32>) -> tensor<64x128xf32>
    %55 = stablehlo.convert %54 : (tensor<64x128xf32>) -> tensor<64x128xbf16>
    %56 = stablehlo.dot_general %55, %arg3, contracting_dims = [1] x [0], precision = [DEFAULT, DEFAULT] : (tensor<64x128xbf16>, tensor<128x128xbf16>) -> tensor<64x128xf32>
    %57 = stablehlo.broadcast_in_dim %arg4, dims = [1] : (tensor<128xf32>) -> tensor<1x128xf32>
    %58 = stablehlo.broadcast_in_dim %57, dims = [0, 1] : (tensor<1x128xf32>) -> tensor<64x128xf32>
    %59 = stablehlo.add %56, %58 : tensor<64x128xf32>
    %60 = stablehlo.add %0, %59 : tensor<64x128xf32>
    %cst_8 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %61 = stablehlo.reduce(%60 init: %cst_8) applies stablehlo.add across dimensions = [1] : (tensor<64x128xf32>, tensor<f32>) -> tensor<64xf32>
    %62 = stablehlo.broadcast_in_dim %61, dims = [0] : (tensor<64xf32>) -> tensor<64x1xf32>
    %cst_9 = stablehlo.constant dense<1.280000e+02> : tensor<f32>
    %63 = stablehlo.broadcast_in_dim %cst_9, dims = [] : (tensor<f32>) -> tensor<64x1xf32>
    %64 = stablehlo.divide %62, %63 : tensor<64x1xf32>
    %65 = stablehlo.broadcast_in_dim %64, dims = [0, 1] : (tensor<64x1xf32>) -> tensor<64x128xf32>
    %66 = stablehlo.subtract %60, %65 : tensor<64x128xf32>
    %67 = stablehlo.multiply %66, %66 : tensor<64x128xf32>
    %cst_10 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %68 = stablehlo.reduce(%67 init: %cst_10) applies stablehlo.add across dimensions = [1] : (tensor<64x128xf32>, tensor<f32>) -> tensor<64xf32>
    %69 = stablehlo.broadcast_in_dim %68, dims = [0] : (tensor<64xf32>) -> tensor<64x1xf32>
    %cst_11 = stablehlo.constant dense<1.280000e+02> : tensor<f32>
    %70 = stablehlo.broadcast_in_dim %cst_11, dims = [] : (tensor<f32>) -> tensor<64x1xf32>
    %71 = stablehlo.divide %69, %70 : tensor<64x1xf32>
    %cst_12 = stablehlo.constant dense<9.99999974E-6> : tensor<f32>
    %72 = stablehlo.broadcast_in_dim %cst_12, dims = [] : (tensor<f32>) -> tensor<64x1xf32>
    %73 = stablehlo.add %71, %72 : tensor<64x1xf32>
    %74 = stablehlo.rsqrt %73 : tensor<64x1xf32>
    %75 = stablehlo.broadcast_in_dim %74, dims = [0, 1] : (tensor<64x1xf32>) -> tensor<64x128xf32>
    %76 = stablehlo.multiply %66, %75 : tensor<64x128xf32>
    %77 = stablehlo.broadcast_in_dim %arg11, dims = [1] : (tensor<128xf32>) -> tensor<1x128xf32>
    %78 = stablehlo.broadcast_in_dim %77, dims = [0, 1] : (tensor<1x128xf32>) -> tensor<64x128xf32>
    %79 = stablehlo.multiply %76, %78 : tensor<64x128xf32>
    %80 = stablehlo.broadcast_in_dim %arg12, dims = [1] : (tensor<128xf32>) -> tensor<1x128xf32>
    %81 = stablehlo.broadcast_in_dim %80, dims = [0, 1] : (tensor<1x128xf32>) -> tensor<64x128xf32>
    %82 = stablehlo.add %79, %81 : tensor<64x128xf32>
    %83 = stablehlo.convert %82 : (tensor<64x128xf32>) -> tensor<64x128xbf16>
    %84 = stablehlo.dot_general %83, %arg5, contracting_dims = [1] x [0], precision = [DEFAULT, DEFAULT] : (tensor<64x128xbf16>, tensor<128x512xbf16>) -> tensor<64x512xf32>
    %85 = stablehlo.broadcast_in_dim %arg6, dims = [1] : (tensor<512xf32>) -> tensor<1x512xf32>
    %86 = stablehlo.broadcast_in_dim %85, dims = [0, 1] : (tensor<1x512xf32>) -> tensor<64x512xf32>
    %87 = stablehlo.add %84, %86 : tensor<64x512xf32>
    %88 = stablehlo.multiply %87, %87 : tensor<64x512xf32>
    %89 = stablehlo.multiply %88, %87 : tensor<64x512xf32>
    %cst_13 = stablehlo.constant dense<4.471500e-02> : tensor<f32>
    %90 = stablehlo.broadcast_in_dim %cst_13, dims = [] : (tensor<f32>) -> tensor<64x512xf32>
    %91 = stablehlo.multiply %90, %89 : tensor<64x512xf32>
    %92 = stablehlo.add %87, %91 : tensor<64x512xf32>
    %cst_14 = stablehlo.constant dense<0.797884583> : tensor<f32>
    %93 = stablehlo.broadcast_in_dim %cst_14, dims = [] : (tensor<f32>) -> tensor<64x512xf32>
    %94 = stablehlo.multiply %93, %92 : tensor<64x512xf32>
    %95 = stablehlo.tanh %94 : tensor<64x512xf32>
    %cst_15 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %96 = stablehlo.broadcast_in_dim %cst_15, dims = [] : (tensor<f32>) -> tensor<64x512xf32>
    %97 = stablehlo.add %96, %95 : tensor<64x512xf32>
    %cst_16 = stablehlo.constant dense<5.000000e-01> : tensor<f32>
    %98 = stablehlo.broadcast_in_dim %cst_16, dims = [] : (tensor<f32>) -> tensor<64x512xf32>
    %99 = stablehlo.multiply %98, %97 : tensor<64x512xf32>
    %100 = stablehlo.multiply %87, %99 : tensor<64x512xf32>
    %101 = stablehlo.convert %100 : (tensor<64x512xf32>) -> tensor<64x512xbf16>
    %102 = stablehlo.dot_general %101, %arg7, contracting_dims = [1] x [0], precision = [DEFAULT, DEFAULT] : (tensor<64x512xbf16>, tensor<512x128xbf16>) -> tensor<64x128xf32>
    %103 = stablehlo.broadcast_in_dim %arg8, dims = [1] : (tensor<128xf32>) -> tensor<1x128xf32>
    %104 = stablehlo.broadcast_in_dim %103, dims = [0, 1] : (tensor<1x128xf32>) -> tensor<64x128xf32>
    %105 = stablehlo.add %102, %104 : tensor<64x128xf32>
    %106 = stablehlo.add %60, %105 : tensor<64x128xf32>
    %107 = stablehlo.broadcast_in_dim %106, dims = [1, 2] : (tensor<64x128xf32>) -> tensor<1x64x128xf32>
    return %107 : tensor<1x64x128xf32>
  }
}
