//! The scalar memory of the sLSTM over a whole clip: elementwise cells between the products of the
//! recurrence.
//!
//! The way back takes the hidden states from the result, so that all of its recurrent products but
//! one a frame are a single product over the batch. As in the matrix memory the stabiliser `m`
//! changes no result, so no gradient passes through it.

use std::ops::Range;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor};

use super::simd::{LANES, add, load, store};
use super::{Real, by_type, hold, misfit, slice};

/// Gates in order: input, forget, cell input, output.
pub(super) const GATES: usize = 4;

pub(super) struct ScalarMemory;

/// `[batch, time, 4 · dim]` gates from the input, and `recurrent` `[4 · dim, width]` with a `width`
/// that divides `dim`: `dim / width` heads, each of which hears its own hidden state alone →
/// `[batch, time, dim]`.
///
/// # Errors
/// When the shapes don't fit.
pub fn scalar_memory(gates: &Tensor, recurrent: &Tensor) -> Result<Tensor> {
    gates
        .contiguous()?
        .apply_op2(&recurrent.contiguous()?, ScalarMemory)
}

#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) time: usize,
    pub(super) heads: usize,
    pub(super) width: usize,
}

impl Sizes {
    pub(super) fn of(gates: &[usize], recurrent: &[usize]) -> Self {
        let (dim, width) = (gates[2] / GATES, recurrent[1]);
        Self {
            batch: gates[0],
            time: gates[1],
            heads: dim / width,
            width,
        }
    }

    pub(super) fn dim(self) -> usize {
        self.heads * self.width
    }

    /// Entries of one frame's state, `[heads, batch, width]`.
    pub(super) fn state(self) -> usize {
        self.dim() * self.batch
    }

    /// `[4 · dim, width]` → `[heads, width, 4 · width]`.
    fn by_head<T: Real>(self, recurrent: &[T]) -> Result<Tensor> {
        let Self { heads, width, .. } = self;
        let mut values = Vec::with_capacity(recurrent.len());
        for head in 0..heads {
            for k in 0..width {
                for gate in 0..GATES {
                    let first = gate * self.dim() + head * width;
                    values.extend((first..first + width).map(|row| recurrent[row * width + k]));
                }
            }
        }
        Tensor::from_vec(values, (heads, width, GATES * width), &Device::Cpu)
    }

    /// The inverse of [`Self::by_head`], on values.
    fn by_row<T: Real>(self, values: &[T]) -> Vec<T> {
        let Self { heads, width, .. } = self;
        let mut rows = vec![T::zero(); values.len()];
        for head in 0..heads {
            for k in 0..width {
                for column in 0..GATES * width {
                    let row = column / width * self.dim() + head * width + column % width;
                    rows[row * width + k] = values[(head * width + k) * GATES * width + column];
                }
            }
        }
        rows
    }
}

/// What the way back needs of one frame, each `[heads, batch, width]`.
#[derive(Clone)]
struct Frame<T> {
    /// `exp(ĩ_t − m_t)`.
    input: Vec<T>,
    /// `sigmoid(f̃_t) exp(m_{t−1} − m_t)`.
    forget: Vec<T>,
    /// `1 − sigmoid(f̃_t)`.
    closing: Vec<T>,
    z: Vec<T>,
    output: Vec<T>,
    c: Vec<T>,
    n: Vec<T>,
}

/// The recurrence, frame by frame.
struct Cells<T> {
    sizes: Sizes,
    frame: Frame<T>,
    m: Vec<T>,
    hidden: Vec<T>,
}

impl<T: Real> Cells<T> {
    fn new(sizes: Sizes) -> Self {
        let empty = || vec![T::zero(); sizes.state()];
        Self {
            sizes,
            frame: Frame {
                input: empty(),
                forget: empty(),
                closing: empty(),
                z: empty(),
                output: empty(),
                c: empty(),
                n: empty(),
            },
            m: vec![T::of(f64::NEG_INFINITY); sizes.state()],
            hidden: empty(),
        }
    }

    /// Frame `t`; of `heard`, `place(head, clip)` is where the `4 · width` products of the hidden
    /// state before it begin.
    #[inline(always)]
    fn step(&mut self, t: usize, gates: &[T], heard: &[T], place: impl Fn(usize, usize) -> usize) {
        let Sizes { time, width, .. } = self.sizes;
        let (batch, dim) = (self.sizes.batch, self.sizes.dim());
        for index in 0..self.sizes.heads * batch {
            let (head, clip) = (index / batch, index % batch);
            let row = &gates[(clip * time + t) * GATES * dim + head * width..];
            let heard = &heard[place(head, clip)..];
            let given =
                |gate: usize| (&row[gate * dim..][..width], &heard[gate * width..][..width]);
            let at = index * width..(index + 1) * width;
            self.cell([given(0), given(1), given(2), given(3)], at);
        }
    }

    /// The cells of one head of one clip, from the two parts of each gate.
    #[inline(always)]
    fn cell(&mut self, gates: [(&[T], &[T]); GATES], at: Range<usize>) {
        for first in (0..at.len()).step_by(LANES) {
            let mut parts = [[T::zero(); LANES]; GATES];
            for (part, (given, heard)) in parts.iter_mut().zip(gates) {
                let (given, heard) = (load(&given[first..]), load(&heard[first..]));
                for l in 0..LANES {
                    part[l] = given[l] + heard[l];
                }
            }
            let [mut input, mut forget, mut z, mut output] = parts;
            let at = at.start + first..at.end;
            let (mut c, mut n) = (
                load(&self.frame.c[at.clone()]),
                load(&self.frame.n[at.clone()]),
            );
            let mut m = load(&self.m[at.clone()]);
            let (mut closing, mut hidden) = ([T::zero(); LANES], [T::zero(); LANES]);
            for l in 0..LANES {
                let (fresh, opening) = (input[l], forget[l]);
                let kept = m[l] - (-opening).softplus();
                m[l] = if kept > fresh { kept } else { fresh };
                input[l] = (fresh - m[l]).exp();
                forget[l] = (kept - m[l]).exp();
                closing[l] = (-opening).sigmoid();
                z[l] = z[l].tanh();
                output[l] = output[l].sigmoid();
                c[l] = forget[l] * c[l] + input[l] * z[l];
                n[l] = forget[l] * n[l] + input[l];
                hidden[l] = output[l] * c[l] / n[l];
            }
            let frame = &mut self.frame;
            store(&mut frame.input[at.clone()], &input);
            store(&mut frame.forget[at.clone()], &forget);
            store(&mut frame.closing[at.clone()], &closing);
            store(&mut frame.z[at.clone()], &z);
            store(&mut frame.output[at.clone()], &output);
            store(&mut frame.c[at.clone()], &c);
            store(&mut frame.n[at.clone()], &n);
            store(&mut self.m[at.clone()], &m);
            store(&mut self.hidden[at], &hidden);
        }
    }
}

#[inline(always)]
fn forward<T: Real>(
    sizes: Sizes,
    (gates, gl): (&CpuStorage, &Layout),
    (recurrent, rl): (&CpuStorage, &Layout),
) -> Result<CpuStorage> {
    let gates = slice::<T>(gates, gl)?;
    let by_head = sizes.by_head(slice::<T>(recurrent, rl)?)?;
    let Sizes {
        batch,
        time,
        heads,
        width,
    } = sizes;
    let dim = sizes.dim();
    let mut y = vec![T::zero(); batch * time * dim];
    let mut cells = Cells::new(sizes);
    for t in 0..time {
        let hidden = Tensor::from_slice(&cells.hidden, (heads, batch, width), &Device::Cpu)?;
        let heard = hidden.matmul(&by_head)?;
        let place = |head, clip| (head * batch + clip) * GATES * width;
        cells.step(t, gates, hold(&heard)?.slice::<T>()?, place);
        for (index, row) in cells.hidden.chunks_exact(width).enumerate() {
            let (head, clip) = (index / batch, index % batch);
            y[(clip * time + t) * dim + head * width..][..width].copy_from_slice(row);
        }
    }
    Ok(T::to_cpu_storage_owned(y))
}

/// The hidden state before each frame: `[batch, time, dim]` → `[heads, time, batch, width]`.
fn hidden_before<T: Real>(sizes: Sizes, result: &[T]) -> Vec<T> {
    let Sizes {
        batch,
        time,
        heads,
        width,
    } = sizes;
    let mut before = vec![T::zero(); result.len()];
    for head in 0..heads {
        for t in 1..time {
            for clip in 0..batch {
                let from = (clip * time + t - 1) * sizes.dim() + head * width;
                let to = ((head * time + t) * batch + clip) * width;
                before[to..to + width].copy_from_slice(&result[from..from + width]);
            }
        }
    }
    before
}

/// From the gradients of one frame's hidden state to those of its gates, `[heads, batch, 4·width]`;
/// `dc` and `dn` are carried from frame to frame.
#[inline(always)]
fn cell_back<T: Real>(
    width: usize,
    (frame, before): (&Frame<T>, Option<&Frame<T>>),
    dh: &[T],
    (dc, dn): (&mut [T], &mut [T]),
    dgates: &mut [T],
) {
    let one = T::one();
    for (index, dgates) in dgates.chunks_exact_mut(GATES * width).enumerate() {
        for first in (0..width).step_by(LANES) {
            let at = index * width + first..(index + 1) * width;
            let (input, forget) = (
                load(&frame.input[at.clone()]),
                load(&frame.forget[at.clone()]),
            );
            let (z, output) = (load(&frame.z[at.clone()]), load(&frame.output[at.clone()]));
            let (cell, norm) = (load(&frame.c[at.clone()]), load(&frame.n[at.clone()]));
            let closing = load(&frame.closing[at.clone()]);
            let c_before = load(before.map_or(&[], |before| &before.c[at.clone()]));
            let n_before = load(before.map_or(&[], |before| &before.n[at.clone()]));
            let (mut c, mut n) = (load(&dc[at.clone()]), load(&dn[at.clone()]));
            let dh = load(&dh[at.clone()]);
            let mut slopes = [[T::zero(); LANES]; GATES];
            for l in 0..LANES {
                let ratio = cell[l] / norm[l];
                let pull = dh[l] * output[l] / norm[l];
                (c[l], n[l]) = (c[l] + pull, n[l] - pull * ratio);
                slopes[0][l] = (c[l] * z[l] + n[l]) * input[l];
                let along = c[l] * c_before[l] + n[l] * n_before[l];
                slopes[1][l] = along * forget[l] * closing[l];
                slopes[2][l] = c[l] * input[l] * (one - z[l] * z[l]);
                slopes[3][l] = dh[l] * ratio * output[l] * (one - output[l]);
                (c[l], n[l]) = (c[l] * forget[l], n[l] * forget[l]);
            }
            store(&mut dc[at.clone()], &c);
            store(&mut dn[at], &n);
            for (dgates, slopes) in dgates.chunks_exact_mut(width).zip(&slopes) {
                store(&mut dgates[first..], slopes);
            }
        }
    }
}

#[inline(always)]
fn backward<T: Real>(
    gates: &Tensor,
    recurrent: &Tensor,
    result: &Tensor,
    gradient: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let sizes = Sizes::of(gates.dims(), recurrent.dims());
    let Sizes {
        batch,
        time,
        heads,
        width,
    } = sizes;
    let dim = sizes.dim();
    let (gs, gradients) = (hold(gates)?, hold(gradient)?);
    let (gs, gradients) = (gs.slice::<T>()?, gradients.slice::<T>()?);
    let by_head = sizes.by_head(hold(recurrent)?.slice::<T>()?)?;
    let before = hidden_before(sizes, hold(result)?.slice::<T>()?);
    let before = Tensor::from_vec(before, (heads, time * batch, width), &Device::Cpu)?;
    let heard = before.matmul(&by_head)?; // [heads, time · batch, 4 · width]

    // The way there once more, keeping every frame.
    let mut cells = Cells::new(sizes);
    let mut frames = Vec::with_capacity(time);
    {
        let heard = hold(&heard)?;
        let heard = heard.slice::<T>()?;
        for t in 0..time {
            let place = |head, clip| ((head * time + t) * batch + clip) * GATES * width;
            cells.step(t, gs, heard, place);
            frames.push(cells.frame.clone());
        }
    }

    let back = by_head.transpose(1, 2)?; // [heads, 4 · width, width]
    let mut dgates = vec![T::zero(); gs.len()];
    let mut along = vec![T::zero(); gs.len()]; // dgates as [heads, time, batch, 4 · width]
    let (mut dc, mut dn) = (
        vec![T::zero(); sizes.state()],
        vec![T::zero(); sizes.state()],
    );
    let mut dh = vec![T::zero(); sizes.state()];
    let mut frame_gates = vec![T::zero(); GATES * sizes.state()];
    for t in (0..time).rev() {
        for (index, row) in dh.chunks_exact_mut(width).enumerate() {
            let (head, clip) = (index / batch, index % batch);
            let given = &gradients[(clip * time + t) * dim + head * width..];
            add(row, [given], |[g]| g);
        }
        let earlier = t.checked_sub(1).map(|t| &frames[t]);
        cell_back(
            width,
            (&frames[t], earlier),
            &dh,
            (&mut dc, &mut dn),
            &mut frame_gates,
        );
        for (index, row) in frame_gates.chunks_exact(GATES * width).enumerate() {
            let (head, clip) = (index / batch, index % batch);
            let to = ((head * time + t) * batch + clip) * GATES * width;
            along[to..to + row.len()].copy_from_slice(row);
            for (gate, row) in row.chunks_exact(width).enumerate() {
                let to = ((clip * time + t) * GATES + gate) * dim + head * width;
                dgates[to..to + width].copy_from_slice(row);
            }
        }
        if t > 0 {
            let shape = (heads, batch, GATES * width);
            let product = Tensor::from_slice(&frame_gates, shape, &Device::Cpu)?.matmul(&back)?;
            dh.copy_from_slice(hold(&product)?.slice::<T>()?);
        }
    }
    let along = Tensor::from_vec(along, (heads, time * batch, GATES * width), &Device::Cpu)?;
    let dweights = before.transpose(1, 2)?.matmul(&along)?; // [heads, width, 4 · width]
    let drecurrent = sizes.by_row(hold(&dweights)?.slice::<T>()?);
    Ok((
        Tensor::from_vec(dgates, gates.shape(), gates.device())?,
        Tensor::from_vec(drecurrent, recurrent.shape(), gates.device())?,
    ))
}

/// The shape of the result.
fn check(gl: &Layout, rl: &Layout) -> Result<Shape> {
    let (batch, time, columns) = gl.shape().dims3()?;
    let (rows, width) = rl.shape().dims2()?;
    if rows != columns || width == 0 || !columns.is_multiple_of(GATES * width) {
        return Err(misfit("scalar-memory", gl.dims(), rl.dims()));
    }
    Ok((batch, time, columns / GATES).into())
}

impl CustomOp2 for ScalarMemory {
    fn name(&self) -> &'static str {
        "scalar-memory"
    }

    fn cpu_fwd(
        &self,
        gates: &CpuStorage,
        gl: &Layout,
        recurrent: &CpuStorage,
        rl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = check(gl, rl)?;
        let sizes = Sizes::of(gl.dims(), rl.dims());
        let dtype = candle_core::backend::BackendStorage::dtype(gates);
        let y = by_type!(dtype, forward(sizes, (gates, gl), (recurrent, rl)))?;
        Ok((y, shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        gates: &CudaStorage,
        gl: &Layout,
        recurrent: &CudaStorage,
        rl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let shape = check(gl, rl)?;
        Ok((self.on_gpu((gates, gl), (recurrent, rl))?, shape))
    }

    fn bwd(
        &self,
        gates: &Tensor,
        recurrent: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if gates.device().is_cuda() {
            let [dgates, drecurrent] = self.back_on_gpu(gates, recurrent, result, &gradient)?;
            return Ok((Some(dgates), Some(drecurrent)));
        }
        let dtype = gates.dtype();
        let (dgates, drecurrent) = by_type!(dtype, backward(gates, recurrent, result, &gradient))?;
        Ok((Some(dgates), Some(drecurrent)))
    }
}
