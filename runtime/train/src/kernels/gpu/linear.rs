//! What an affine map needs on a GPU beside its products, which are cuBLAS'.

use candle_core::cuda_backend::CudaStorageSlice;
use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Read, Size, Write};
use super::{Gpu, Grid, Module, backward, module, size, view};

const KERNELS: Module = module!("linear");

/// Adds `[dim]` to each row of a fresh product `[rows, dim]`.
pub(in crate::kernels) fn add_bias(
    y: &mut CudaStorage,
    bias: &CudaStorage,
    layout: &Layout,
) -> Result<()> {
    let bias = view(bias, layout)?;
    let CudaStorageSlice::F32(values) = &mut y.slice else {
        candle_core::bail!("a GPU's kernel was given values that are not f32");
    };
    let count = values.len();
    let arguments = &mut [
        Write(values),
        Read(&bias.values),
        Size(size(bias.values.len())?),
        Size(size(count)?),
    ];
    let gpu = Gpu { device: &y.device };
    gpu.launch(KERNELS, "linear_add_bias", Grid::over(count), arguments)
}

/// The sum of each column: `[rows, dim]` → `[dim]`.
pub(in crate::kernels) fn column_sums(x: &Tensor) -> Result<Tensor> {
    let (_, dim) = x.dims2()?;
    let [sums] = backward([x], |gpu, [x]| {
        Ok([(gpu.sums_of_columns(&x, dim)?, dim.into())])
    })?;
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::kernels::linear;

    fn arguments(rows: usize, inputs: usize, outputs: usize) -> [Tensor; 3] {
        [
            normals(&[rows, inputs], 1),
            normals(&[outputs, inputs], 2),
            normals(&[outputs], 3),
        ]
    }

    #[test]
    fn linear_is_the_cpus() {
        for (rows, inputs, outputs) in [
            (1, 1, 1),
            (1, 7, 300),
            (33, 31, 1),
            (1280, 64, 97),
            (4100, 3, 35),
        ] {
            let arguments = arguments(rows, inputs, outputs);
            let name = format!("linear of {rows} rows, {inputs} to {outputs}");
            // Products add in another order.
            agrees(&name, &arguments, 1e-5, |a| {
                linear(&a[0], &a[1], Some(&a[2]))
            });
            agrees(&name, &arguments[..2], 1e-5, |a| linear(&a[0], &a[1], None));
        }
        shows_nan("linear", &arguments(9, 5, 34), |a| {
            linear(&a[0], &a[1], Some(&a[2]))
        });
    }

    #[test]
    fn linear_takes_views() {
        let arguments = [
            normals(&[5, 40], 1),
            normals(&[5, 33], 2),
            normals(&[33, 2], 3),
        ];
        agrees("linear of views", &arguments, 1e-5, |a| {
            linear(&a[0].t()?, &a[1].t()?, Some(&a[2].t()?.get(1)?))?.t()
        });
    }

    /// Features are no variables: their gradient is not computed.
    #[test]
    fn features_get_no_gradient() {
        let gpu = Device::new_cuda(0).unwrap();
        let x = normals(&[4, 3], 1).to_device(&gpu).unwrap();
        let [_, weight, bias] = arguments(4, 3, 2);
        agrees("linear of features", &[weight, bias], 1e-5, |a| {
            linear(&x.to_device(a[0].device())?, &a[0], Some(&a[1]))
        });
        let weight = candle_core::Var::from_tensor(&normals(&[2, 3], 2).to_device(&gpu).unwrap());
        let weight = weight.unwrap();
        let y = linear(&x, &weight, None).unwrap().sum_all().unwrap();
        assert!(y.backward().unwrap().get(&x).is_none());
    }
}
