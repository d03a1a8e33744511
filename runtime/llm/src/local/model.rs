//! The forward pass of the llama architecture (RMS norm, grouped-query attention with rotary
//! positions, SwiGLU) over weights in 8 bits.
//!
//! Written out here, on candle-core that the trainer needs anyway: `candle-transformers` holds the
//! same among a hundred other models, brings `candle-nn` with it, and multiplies in the pool that
//! `linear.rs` avoids.

use candle_core::{D, DType, Device, Result, Tensor};
use orze_campaign::InputError;

use super::gguf::{Gguf, first_line};
use super::linear::Linear;

#[derive(Debug)]
struct Layer {
    attention_norm: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    feed_forward_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// A model of the llama architecture.
#[derive(Debug)]
pub(super) struct Llama {
    embedding: Linear,
    layers: Vec<Layer>,
    norm: Tensor,
    /// `None` where the embedding serves as the head too.
    head: Option<Linear>,
    heads: usize,
    key_value_heads: usize,
    head_width: usize,
    epsilon: f64,
    rope_base: f64,
    context: usize,
}

/// What one call has computed: keys and values of every layer, [heads, capacity, width].
pub(super) struct Session {
    cache: Vec<(Tensor, Tensor)>,
    length: usize,
    /// Rotations by position: [capacity, 1, width / 2, 1].
    cosine: Tensor,
    sine: Tensor,
}

impl Llama {
    /// Reads a model whose tokens are `vocabulary` many.
    pub(super) fn read(
        gguf: &mut Gguf,
        vocabulary: usize,
    ) -> std::result::Result<Self, InputError> {
        if gguf
            .text("llama.rope.scaling.type")
            .is_ok_and(|kind| kind != "none")
        {
            return Err(InputError::new("scaled rotary positions are not supported")
                .at_key("llama.rope.scaling.type"));
        }
        let blocks = gguf.size("llama.block_count")?;
        let width = gguf.size("llama.embedding_length")?;
        let inner = gguf.size("llama.feed_forward_length")?;
        let heads = gguf.size("llama.attention.head_count")?;
        let key_value_heads = gguf.size_or("llama.attention.head_count_kv", heads)?;
        let head_width = width / heads;
        let rotated = gguf.size_or("llama.rope.dimension_count", head_width)?;
        if width % heads != 0
            || heads % key_value_heads != 0
            || head_width % 2 != 0
            || rotated != head_width
        {
            return Err(InputError::new(format!(
                "{heads} heads, {key_value_heads} of keys, over a width of {width} with {rotated} \
                 rotated are not supported"
            ))
            .at_key("llama.attention.head_count"));
        }
        let shared = key_value_heads * head_width;
        let embedding = matrix(gguf, "token_embd.weight", vocabulary, width)?;
        let mut layers = Vec::new();
        for block in 0..blocks {
            let mut linear = |name: &str, output: usize, input: usize| {
                matrix(gguf, &format!("blk.{block}.{name}.weight"), output, input)
            };
            let (query, key) = (
                linear("attn_q", width, width)?,
                linear("attn_k", shared, width)?,
            );
            let (value, output) = (
                linear("attn_v", shared, width)?,
                linear("attn_output", width, width)?,
            );
            let (gate, up) = (
                linear("ffn_gate", inner, width)?,
                linear("ffn_up", inner, width)?,
            );
            let down = linear("ffn_down", width, inner)?;
            layers.push(Layer {
                attention_norm: vector(gguf, &format!("blk.{block}.attn_norm.weight"), width)?,
                feed_forward_norm: vector(gguf, &format!("blk.{block}.ffn_norm.weight"), width)?,
                query,
                key,
                value,
                output,
                gate,
                up,
                down,
            });
        }
        let head = if gguf.has_tensor("output.weight") {
            Some(matrix(gguf, "output.weight", vocabulary, width)?)
        } else {
            None
        };
        let norm = vector(gguf, "output_norm.weight", width)?;
        gguf.all_taken()?;
        Ok(Self {
            embedding,
            layers,
            norm,
            head,
            heads,
            key_value_heads,
            head_width,
            epsilon: gguf.float("llama.attention.layer_norm_rms_epsilon")?,
            rope_base: gguf.float("llama.rope.freq_base").unwrap_or(10_000.0),
            context: gguf.size("llama.context_length")?,
        })
    }

    /// Tokens of prompt and answer together at most.
    pub(super) fn context(&self) -> usize {
        self.context
    }

    /// Room for so many tokens.
    pub(super) fn session(&self, capacity: usize) -> Result<Session> {
        let shape = (self.key_value_heads, capacity.max(1), self.head_width);
        let half = self.head_width / 2;
        let mut angles = Vec::with_capacity(shape.1 * half);
        for position in 0..shape.1 {
            for pair in 0..half {
                #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
                angles.push(
                    (position as f64 / self.rope_base.powf(pair as f64 / half as f64)) as f32,
                );
            }
        }
        let angles = Tensor::from_vec(angles, (shape.1, 1, half, 1), &Device::Cpu)?;
        let room = || Tensor::zeros(shape, DType::F32, &Device::Cpu);
        Ok(Session {
            cache: self
                .layers
                .iter()
                .map(|_| Ok((room()?, room()?)))
                .collect::<Result<_>>()?,
            length: 0,
            cosine: angles.cos()?,
            sine: angles.sin()?,
        })
    }

    /// Computes tokens behind those that the session holds; the last one's hidden state, [1, width].
    pub(super) fn forward(&self, tokens: &[u32], session: &mut Session) -> Result<Tensor> {
        let rows = tokens.len();
        let begin = session.length;
        let cosine = session.cosine.narrow(0, begin, rows)?;
        let sine = session.sine.narrow(0, begin, rows)?;
        let mask = self.causal_mask(begin, rows)?;
        let mut x = self.embedding.rows(tokens)?; // [rows, width]
        for (layer, (keys, values)) in self.layers.iter().zip(&session.cache) {
            let normed = self.rms_norm(&x, &layer.attention_norm)?;
            let query = layer.query.forward(&normed)?;
            let query = rotate(
                &query.reshape((rows, self.heads, self.head_width))?,
                &cosine,
                &sine,
            )?;
            let shared = (rows, self.key_value_heads, self.head_width);
            let key = rotate(
                &layer.key.forward(&normed)?.reshape(shared)?,
                &cosine,
                &sine,
            )?;
            let value = layer.value.forward(&normed)?.reshape(shared)?;
            keys.slice_set(&key.transpose(0, 1)?.contiguous()?, 1, begin)?;
            values.slice_set(&value.transpose(0, 1)?.contiguous()?, 1, begin)?;
            let attended = self.attend(
                &query,
                &keys.narrow(1, 0, begin + rows)?,
                &values.narrow(1, 0, begin + rows)?,
                mask.as_ref(),
            )?;
            x = (x + layer.output.forward(&attended)?)?;
            let normed = self.rms_norm(&x, &layer.feed_forward_norm)?;
            let gated = (layer.gate.forward(&normed)?.silu()? * layer.up.forward(&normed)?)?;
            x = (x + layer.down.forward(&gated)?)?;
        }
        session.length += rows;
        x.narrow(0, rows - 1, 1)
    }

    /// The score of every token behind a hidden state [1, width].
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Vec<f32>> {
        let normed = self.rms_norm(&hidden.contiguous()?, &self.norm)?;
        let logits = self
            .head
            .as_ref()
            .unwrap_or(&self.embedding)
            .forward(&normed)?;
        logits.flatten_all()?.to_vec1()
    }

    /// [rows, heads, width] over [key heads, length, width] → [rows, heads × width]
    fn attend(
        &self,
        query: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let rows = query.dim(0)?;
        let group = self.heads / self.key_value_heads;
        // The heads that share keys stand together: [key heads, rows × group, width].
        let query = query
            .reshape((rows, self.key_value_heads, group, self.head_width))?
            .transpose(0, 1)?
            .contiguous()?
            .reshape((self.key_value_heads, rows * group, self.head_width))?;
        #[allow(clippy::cast_precision_loss)]
        let scale = 1.0 / (self.head_width as f64).sqrt();
        let mut scores = (query * scale)?.matmul(&keys.t()?)?; // [key heads, rows × group, length]
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        let scores = scores
            .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
            .exp()?;
        let weights = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
        weights
            .matmul(values)?
            .reshape((self.key_value_heads, rows, group, self.head_width))?
            .transpose(0, 1)?
            .contiguous()?
            .reshape((rows, self.heads * self.head_width))
    }

    /// −∞ where a token would look ahead, [1, rows × group, begin + rows]; one token sees all.
    fn causal_mask(&self, begin: usize, rows: usize) -> Result<Option<Tensor>> {
        if rows == 1 {
            return Ok(None);
        }
        let group = self.heads / self.key_value_heads;
        let length = begin + rows;
        let mask: Vec<f32> = (0..rows * group)
            .flat_map(|row| {
                (0..length).map(move |column| {
                    if column <= begin + row / group {
                        0.0
                    } else {
                        f32::NEG_INFINITY
                    }
                })
            })
            .collect();
        Tensor::from_vec(mask, (1, rows * group, length), &Device::Cpu).map(Some)
    }

    fn rms_norm(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let size = (x.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
        x.broadcast_div(&size)?.broadcast_mul(weight)
    }
}

/// Rotates neighbouring pairs of [rows, heads, width], the order that GGUF files of this
/// architecture store heads in.
fn rotate(x: &Tensor, cosine: &Tensor, sine: &Tensor) -> Result<Tensor> {
    let (rows, heads, width) = x.dims3()?;
    let pairs = x.reshape((rows, heads, width / 2, 2))?;
    let (a, b) = (pairs.narrow(3, 0, 1)?, pairs.narrow(3, 1, 1)?);
    let turned_a = (a.broadcast_mul(cosine)? - b.broadcast_mul(sine)?)?;
    let turned_b = (a.broadcast_mul(sine)? + b.broadcast_mul(cosine)?)?;
    Tensor::cat(&[turned_a, turned_b], 3)?.reshape((rows, heads, width))
}

fn vector(gguf: &mut Gguf, name: &str, width: usize) -> std::result::Result<Tensor, InputError> {
    gguf.tensor(name, &[width])?
        .dequantize(&Device::Cpu)
        .map_err(|error| InputError::new(first_line(&error)).at_key(name))
}

fn matrix(
    gguf: &mut Gguf,
    name: &str,
    output: usize,
    input: usize,
) -> std::result::Result<Linear, InputError> {
    if !Linear::fits(input) {
        return Err(
            InputError::new(format!("its rows of {input} are no whole blocks")).at_key(name),
        );
    }
    Linear::new(&gguf.tensor(name, &[output, input])?)
        .map_err(|error| InputError::new(first_line(&error)).at_key(name))
}
