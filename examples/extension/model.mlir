module {
  func.func public @main(%x: tensor<8x32xf32>) -> tensor<8x32xf32> {
    %0 = stablehlo.composite "acme.quick_gelu" %x {composite_attributes = {slope = 1.5 : f32},
        decomposition = @quick_gelu} : (tensor<8x32xf32>) -> tensor<8x32xf32>
    %1 = stablehlo.add %0, %x : tensor<8x32xf32>
    return %1 : tensor<8x32xf32>
  }
  func.func private @quick_gelu(%x: tensor<8x32xf32>) -> tensor<8x32xf32> {
    %slope = stablehlo.constant dense<-1.5> : tensor<8x32xf32>
    %one = stablehlo.constant dense<1.0> : tensor<8x32xf32>
    %0 = stablehlo.multiply %slope, %x : tensor<8x32xf32>
    %1 = stablehlo.exponential %0 : tensor<8x32xf32>
    %2 = stablehlo.add %1, %one : tensor<8x32xf32>
    %3 = stablehlo.divide %x, %2 : tensor<8x32xf32>
    return %3 : tensor<8x32xf32>
  }
}
