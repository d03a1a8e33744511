//! The selective state-space scan of Mamba, sixteen channels at a time. Paper D.3.
//!
//! States are recomputed in the backward pass instead of being kept: those of one clip and sixteen
//! channels stay in the cache, those of a batch would be the largest tensor of the model.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::simd::{LANES, Lanes, Line, extend, load, store, sum};
use super::{Real, by_type, hold, misfit, slice};

struct SelectiveScan {
    states: usize,
}

/// `h_t = exp(δ_t A) h_{t−1} + δ_t B_t u_t`, `y_t = C_t·h_t + D u_t` with `δ = softplus(delta)` and
/// `A = −exp(a_log)`; `u` and `delta` `[batch, time, dim]`, `bc` `[batch, time, 2 · states]` holds
/// `B_t` and `C_t`, `a_log` `[dim, states]`, `d` `[dim]` → `[batch, time, dim]`.
///
/// # Errors
/// When the shapes don't fit.
pub fn selective_scan(
    u: &Tensor,
    delta: &Tensor,
    bc: &Tensor,
    a_log: &Tensor,
    d: &Tensor,
) -> Result<Tensor> {
    let ((batch, time, dim), (channels, states)) = (u.dims3()?, a_log.dims2()?);
    let fits = bc.dims() == [batch, time, 2 * states] && d.dims() == [dim];
    if states == 0 || channels != dim || delta.dims() != u.dims() || !fits {
        return Err(misfit("selective-scan", bc.dims(), a_log.dims()));
    }
    // An operation has three arguments; the small ones become one.
    let small = [bc.flatten_all()?, a_log.flatten_all()?, d.clone()];
    u.contiguous()?.apply_op3(
        &delta.contiguous()?,
        &Tensor::cat(&small, 0)?,
        SelectiveScan { states },
    )
}

#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) time: usize,
    pub(super) dim: usize,
    pub(super) states: usize,
}

impl Sizes {
    fn of(u: &[usize], states: usize) -> Self {
        Self {
            batch: u[0],
            time: u[1],
            dim: u[2],
            states,
        }
    }

    /// Entries of a clip.
    fn clip(self) -> usize {
        self.time * self.dim
    }

    /// Entries of a clip's `bc`.
    fn bc(self) -> usize {
        self.time * 2 * self.states
    }

    /// Where `a_log` and `d` begin in the third argument, after `bc`.
    fn weights(self) -> (usize, usize) {
        let a_log = self.batch * self.bc();
        (a_log, a_log + self.dim * self.states)
    }
}

/// The weights of sixteen channels, or their gradients. Lanes beyond the last channel hold zeros.
struct Weights<T> {
    /// `A` by state.
    a: Vec<Line<T>>,
    /// `D`.
    skip: Lanes<T>,
}

impl<T: Real> Weights<T> {
    fn zeros(sizes: Sizes) -> Self {
        Self {
            a: Line::zeros(sizes.states),
            skip: [T::zero(); LANES],
        }
    }

    /// Those of all channels.
    fn all(sizes: Sizes, a_log: &[T], d: &[T]) -> Vec<Self> {
        let blocks = a_log.chunks(LANES * sizes.states).zip(d.chunks(LANES));
        let block = |(a_log, d): (&[T], &[T])| {
            let mut weights = Self::zeros(sizes);
            for (lane, row) in a_log.chunks_exact(sizes.states).enumerate() {
                for (a, &log) in weights.a.iter_mut().zip(row) {
                    a.0[lane] = -log.exp();
                }
            }
            weights.skip = load(d);
            weights
        };
        blocks.map(block).collect()
    }
}

/// One clip turned so that the frames of sixteen channels lie together, `[dim / 16, time, 16]`.
struct Turned<T> {
    sizes: Sizes,
    lines: Vec<Line<T>>,
}

impl<T: Real> Turned<T> {
    fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            lines: Line::zeros(sizes.dim.div_ceil(LANES) * sizes.time),
        }
    }

    /// Takes `value` of the entries of a clip.
    #[inline(always)]
    fn take(&mut self, clip: &[T], value: impl Fn(T) -> T) {
        let Sizes { time, dim, .. } = self.sizes;
        for (t, row) in clip.chunks_exact(dim).enumerate() {
            for (block, entries) in row.chunks(LANES).enumerate() {
                let mut lanes = load(entries);
                for lane in &mut lanes {
                    *lane = value(*lane);
                }
                self.lines[block * time + t].0 = lanes;
            }
        }
    }

    /// Appends the clip as it was, each entry times `factor` of that of another clip.
    #[inline(always)]
    fn give(&self, result: &mut Vec<T>, other: &[T], factor: impl Fn(T) -> T) {
        let Sizes { time, dim, .. } = self.sizes;
        for (t, row) in other.chunks_exact(dim).enumerate() {
            for (block, entries) in row.chunks(LANES).enumerate() {
                let mut lanes = load(entries);
                for (lane, turned) in lanes.iter_mut().zip(self.lines[block * time + t].0) {
                    *lane = turned * factor(*lane);
                }
                extend(result, &lanes, entries.len());
            }
        }
    }

    /// The frames of each sixteen channels.
    fn blocks(&mut self) -> impl Iterator<Item = &mut [Line<T>]> {
        self.lines.chunks_exact_mut(self.sizes.time)
    }
}

/// One state of one frame: `exp(δ A)` and `h`; adds to `y`.
#[inline(always)]
fn step<T: Real>(
    (delta, input): (&Lanes<T>, &Lanes<T>),
    (a, before): (&Line<T>, &Line<T>),
    (b, c): (T, T),
    y: &mut Lanes<T>,
) -> (Line<T>, Line<T>) {
    let (mut decay, mut h) = (*a, *before);
    for l in 0..LANES {
        decay.0[l] = (delta[l] * decay.0[l]).exp();
        h.0[l] = decay.0[l] * h.0[l] + input[l] * b;
        y[l] += h.0[l] * c;
    }
    (decay, h)
}

#[inline(always)]
fn product<T: Real>(x: &Lanes<T>, y: &Lanes<T>) -> Lanes<T> {
    let mut product = *x;
    for l in 0..LANES {
        product[l] *= y[l];
    }
    product
}

#[inline(always)]
fn forward<T: Real>(
    sizes: Sizes,
    [u, delta, small]: [(&CpuStorage, &Layout); 3],
) -> Result<CpuStorage> {
    let (u, delta) = (slice::<T>(u.0, u.1)?, slice::<T>(delta.0, delta.1)?);
    let small = slice::<T>(small.0, small.1)?;
    let (a_log, d) = sizes.weights();
    let weights = Weights::all(sizes, &small[a_log..d], &small[d..]);
    let mut y = Vec::with_capacity(u.len());
    let (mut us, mut deltas) = (Turned::new(sizes), Turned::new(sizes));
    let mut h = Line::zeros(sizes.states);
    let clips = u
        .chunks_exact(sizes.clip())
        .zip(delta.chunks_exact(sizes.clip()));
    for ((u, delta), bc) in clips.zip(small.chunks_exact(sizes.bc())) {
        us.take(u, |u| u);
        deltas.take(delta, T::softplus);
        for (weights, (us, deltas)) in weights.iter().zip(us.blocks().zip(deltas.blocks())) {
            h.fill(Line([T::zero(); LANES]));
            let frames = us
                .iter_mut()
                .zip(deltas)
                .zip(bc.chunks_exact(2 * sizes.states));
            for ((u, delta), bc) in frames {
                let (b, c) = bc.split_at(sizes.states);
                let input = product(&u.0, &delta.0);
                let mut y = product(&u.0, &weights.skip);
                for ((a, h), (&b, &c)) in weights.a.iter().zip(&mut h).zip(b.iter().zip(c)) {
                    *h = step((&delta.0, &input), (a, h), (b, c), &mut y).1;
                }
                u.0 = y;
            }
        }
        us.give(&mut y, u, |_| T::one());
    }
    Ok(T::to_cpu_storage_owned(y))
}

/// Sixteen channels of one clip, as the way back needs them.
struct States<T> {
    /// `exp(δ_t A)` by frame and state.
    decay: Vec<Line<T>>,
    /// By frame and state; the first `states` are those before the first frame, zero.
    h: Vec<Line<T>>,
}

/// Gradients by state, not yet summed over lanes where channels share them.
struct Slopes<T> {
    /// Of one clip's `B`, by frame.
    b: Vec<Line<T>>,
    /// Of one clip's `C`, by frame.
    c: Vec<Line<T>>,
    /// Of the state after the frame at hand.
    h: Vec<Line<T>>,
}

impl<T: Real> States<T> {
    /// Runs a clip.
    #[inline(always)]
    fn run(&mut self, weights: &Weights<T>, (us, deltas): (&[Line<T>], &[Line<T>]), bc: &[T]) {
        let states = weights.a.len();
        let frames = us.iter().zip(deltas).zip(bc.chunks_exact(2 * states));
        for (t, ((u, delta), bc)) in frames.enumerate() {
            let input = product(&u.0, &delta.0);
            let (before, after) = self.h.split_at_mut((t + 1) * states);
            let before = &before[t * states..];
            let (after, decay) = (
                &mut after[..states],
                &mut self.decay[t * states..][..states],
            );
            let (a, b) = (&weights.a[..states], &bc[..states]);
            let mut unused = [T::zero(); LANES];
            for n in 0..states {
                let given = (&a[n], &before[n]);
                (decay[n], after[n]) =
                    step((&delta.0, &input), given, (b[n], T::zero()), &mut unused);
            }
        }
    }

    /// The way back through a clip that has just been run; `g` are the outputs' gradients. Those of
    /// `u` and of `softplus(delta)` take their places.
    #[inline(always)]
    fn back(
        &self,
        weights: &Weights<T>,
        [us, deltas, gs]: [&mut [Line<T>]; 3],
        bc: &[T],
        slopes: &mut Slopes<T>,
        sums: &mut Weights<T>,
    ) {
        let states = weights.a.len();
        slopes.h.fill(Line([T::zero(); LANES]));
        for t in (0..us.len()).rev() {
            let (u, delta, g) = (us[t].0, deltas[t].0, gs[t].0);
            let (b, c) = bc[t * 2 * states..][..2 * states].split_at(states);
            let input = product(&u, &delta);
            let (mut along_b, mut ddelta) = ([T::zero(); LANES], [T::zero(); LANES]);
            let (before, after) = self.h[t * states..][..2 * states].split_at(states);
            let decay = &self.decay[t * states..][..states];
            let db = &mut slopes.b[t * states..][..states];
            let dc = &mut slopes.c[t * states..][..states];
            let (a, da) = (&weights.a[..states], &mut sums.a[..states]);
            let dh = &mut slopes.h[..states];
            for n in 0..states {
                let (before, after, decay, a) = (before[n].0, after[n].0, decay[n].0, a[n].0);
                let (mut to_b, mut to_c) = (db[n].0, dc[n].0);
                let (mut to_a, mut carried) = (da[n].0, dh[n].0);
                for l in 0..LANES {
                    let d = carried[l] + g[l] * c[n];
                    to_c[l] += g[l] * after[l];
                    to_b[l] += d * input[l];
                    along_b[l] += d * b[n];
                    carried[l] = d * decay[l];
                    let exponent = carried[l] * before[l];
                    ddelta[l] += exponent * a[l];
                    to_a[l] += exponent * delta[l];
                }
                (db[n].0, dc[n].0) = (to_b, to_c);
                (da[n].0, dh[n].0) = (to_a, carried);
            }
            for l in 0..LANES {
                sums.skip[l] += g[l] * u[l];
                us[t].0[l] = g[l] * weights.skip[l] + along_b[l] * delta[l];
                deltas[t].0[l] = ddelta[l] + along_b[l] * u[l];
            }
        }
    }
}

#[inline(always)]
fn backward<T: Real>(
    sizes: Sizes,
    [u, delta, small]: [&Tensor; 3],
    gradient: &Tensor,
) -> Result<[Tensor; 3]> {
    let (uh, dh, sh, gh) = (hold(u)?, hold(delta)?, hold(small)?, hold(gradient)?);
    let (us, ds, gs) = (uh.slice::<T>()?, dh.slice::<T>()?, gh.slice::<T>()?);
    let smalls = sh.slice::<T>()?;
    let Sizes { time, states, .. } = sizes;
    let mut du = Vec::with_capacity(us.len());
    let mut ddelta = Vec::with_capacity(us.len());
    let mut dsmall = vec![T::zero(); smalls.len()];
    let (a_log, d) = sizes.weights();
    let (dbcs, dweights) = dsmall.split_at_mut(a_log);
    let weights = Weights::all(sizes, &smalls[a_log..d], &smalls[d..]);
    let mut sums: Vec<_> = weights.iter().map(|_| Weights::zeros(sizes)).collect();
    let mut kept = States {
        decay: Line::zeros(time * states),
        h: Line::zeros((time + 1) * states),
    };
    let mut slopes = Slopes {
        b: Line::zeros(time * states),
        c: Line::zeros(time * states),
        h: Line::zeros(states),
    };
    let [mut ut, mut dt, mut gt] = [(); 3].map(|()| Turned::new(sizes));
    let clips = us
        .chunks_exact(sizes.clip())
        .zip(ds.chunks_exact(sizes.clip()));
    let clips = clips.zip(gs.chunks_exact(sizes.clip()));
    let bcs = smalls
        .chunks_exact(sizes.bc())
        .zip(dbcs.chunks_exact_mut(sizes.bc()));
    for (((u, delta), g), (bc, dbc)) in clips.zip(bcs) {
        ut.take(u, |u| u);
        dt.take(delta, T::softplus);
        gt.take(g, |g| g);
        slopes.b.fill(Line([T::zero(); LANES]));
        slopes.c.fill(Line([T::zero(); LANES]));
        let blocks = ut.blocks().zip(dt.blocks()).zip(gt.blocks());
        for ((weights, sums), ((us, deltas), gs)) in weights.iter().zip(&mut sums).zip(blocks) {
            kept.run(weights, (us, deltas), bc);
            kept.back(weights, [us, deltas, gs], bc, &mut slopes, sums);
        }
        ut.give(&mut du, u, |_| T::one());
        dt.give(&mut ddelta, delta, T::sigmoid);
        for (t, row) in dbc.chunks_exact_mut(2 * states).enumerate() {
            let (db, dc) = row.split_at_mut(states);
            for n in 0..states {
                db[n] = sum(slopes.b[t * states + n].0);
                dc[n] = sum(slopes.c[t * states + n].0);
            }
        }
    }
    let (da_log, dd) = dweights.split_at_mut(d - a_log);
    let rows = da_log.chunks_mut(LANES * states).zip(dd.chunks_mut(LANES));
    for ((weights, sums), (da_log, dd)) in weights.iter().zip(&sums).zip(rows) {
        for (lane, row) in da_log.chunks_exact_mut(states).enumerate() {
            for (n, entry) in row.iter_mut().enumerate() {
                *entry = sums.a[n].0[lane] * weights.a[n].0[lane]; // dA / da_log = A
            }
        }
        store(dd, &sums.skip);
    }
    Ok([
        Tensor::from_vec(du, u.shape(), u.device())?,
        Tensor::from_vec(ddelta, delta.shape(), u.device())?,
        Tensor::from_vec(dsmall, small.shape(), u.device())?,
    ])
}

impl CustomOp3 for SelectiveScan {
    fn name(&self) -> &'static str {
        "selective-scan"
    }

    fn cpu_fwd(
        &self,
        u: &CpuStorage,
        ul: &Layout,
        delta: &CpuStorage,
        dl: &Layout,
        small: &CpuStorage,
        sl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::of(ul.dims(), self.states);
        let dtype = candle_core::backend::BackendStorage::dtype(u);
        let y = by_type!(dtype, forward(sizes, [(u, ul), (delta, dl), (small, sl)]))?;
        Ok((y, ul.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        u: &CudaStorage,
        ul: &Layout,
        delta: &CudaStorage,
        dl: &Layout,
        small: &CudaStorage,
        sl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let sizes = Sizes::of(ul.dims(), self.states);
        let y = sizes.on_gpu([(u, ul), (delta, dl), (small, sl)])?;
        Ok((y, ul.shape().clone()))
    }

    fn bwd(
        &self,
        u: &Tensor,
        delta: &Tensor,
        small: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (sizes, given) = (Sizes::of(u.dims(), self.states), [u, delta, small]);
        let [du, ddelta, dsmall] = match u.device() {
            #[cfg(feature = "cuda")]
            device if device.is_cuda() => sizes.back_on_gpu(given, &gradient)?,
            _ => by_type!(u.dtype(), backward(sizes, given, &gradient))?,
        };
        Ok((Some(du), Some(ddelta), Some(dsmall)))
    }
}
