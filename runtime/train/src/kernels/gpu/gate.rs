//! silu, alone and as a gate, on a GPU.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Read, Size, Write};
use super::{Grid, Module, backward, forward, module, size};
use crate::kernels::gate::{Gate, Silu};

const KERNELS: Module = module!("gate");

impl Silu {
    pub(in crate::kernels) fn on_gpu(x: &CudaStorage, layout: &Layout) -> Result<CudaStorage> {
        forward([(x, layout)], |gpu, [x]| {
            let count = x.values.len();
            let mut y = gpu.room(count)?;
            let arguments = &mut [Read(&x.values), Write(&mut y), Size(size(count)?)];
            gpu.launch(KERNELS, "gate_silu_forward", Grid::over(count), arguments)?;
            Ok(y)
        })
    }

    pub(in crate::kernels) fn back_on_gpu(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let [dx] = backward([x, gradient], |gpu, [x, g]| {
            let count = x.values.len();
            let mut dx = gpu.room(count)?;
            let arguments = &mut [
                Read(&x.values),
                Read(&g.values),
                Write(&mut dx),
                Size(size(count)?),
            ];
            gpu.launch(KERNELS, "gate_silu_backward", Grid::over(count), arguments)?;
            Ok([(dx, x.dims.into())])
        })?;
        Ok(dx)
    }
}

impl Gate {
    pub(in crate::kernels) fn on_gpu(
        arguments: [(&CudaStorage, &Layout); 2],
    ) -> Result<CudaStorage> {
        forward(arguments, |gpu, [x, z]| {
            let count = x.values.len();
            let mut y = gpu.room(count)?;
            let arguments = &mut [
                Read(&x.values),
                Read(&z.values),
                Write(&mut y),
                Size(size(count)?),
            ];
            gpu.launch(KERNELS, "gate_forward", Grid::over(count), arguments)?;
            Ok(y)
        })
    }

    /// The gradients of `x` and `z`.
    pub(in crate::kernels) fn back_on_gpu(
        x: &Tensor,
        z: &Tensor,
        gradient: &Tensor,
    ) -> Result<[Tensor; 2]> {
        backward([x, z, gradient], |gpu, [x, z, g]| {
            let count = x.values.len();
            let (mut dx, mut dz) = (gpu.room(count)?, gpu.room(count)?);
            let arguments = &mut [
                Read(&x.values),
                Read(&z.values),
                Read(&g.values),
                Write(&mut dx),
                Write(&mut dz),
                Size(size(count)?),
            ];
            gpu.launch(KERNELS, "gate_backward", Grid::over(count), arguments)?;
            Ok([(dx, x.dims.into()), (dz, z.dims.into())])
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::kernels::{gate, silu};

    #[test]
    fn silu_and_gate_are_the_cpus() {
        let shapes: [&[usize]; 4] = [&[1], &[255], &[3, 257], &[5, 20, 67]];
        for shape in shapes {
            let (x, z) = (normals(shape, 1), normals(shape, 2));
            // As far as silu bends and beyond.
            let z = (z * 10.0).unwrap();
            agrees(
                &format!("silu of {shape:?}"),
                std::slice::from_ref(&z),
                1e-6,
                |a| silu(&a[0]),
            );
            agrees(&format!("gate of {shape:?}"), &[x, z], 1e-6, |a| {
                gate(&a[0], &a[1])
            });
        }
    }

    #[test]
    fn silu_and_gate_show_nan_and_take_views() {
        let arguments = [normals(&[4, 9], 1), normals(&[4, 9], 2)];
        shows_nan("silu", &arguments[..1], |a| silu(&a[0]));
        shows_nan("gate", &arguments, |a| gate(&a[0], &a[1]));
        shows_nan("gate", &arguments, |a| gate(&a[1], &a[0]));
        agrees("gate of views", &arguments, 1e-6, |a| {
            silu(&gate(&a[0].t()?, &a[1].t()?)?.t()?)
        });
    }
}
