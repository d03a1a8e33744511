//! The tokens of a model: text to tokens, tokens to bytes, and which of them a grammar allows.

use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use orze_campaign::InputError;
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

use super::gguf::{Gguf, first_line};
use super::grammar::State;

/// `tokenizer.ggml.token_type` of tokens that stand for text.
const NORMAL: u32 = 1;
/// The same, of tokens that a user added.
const USER_DEFINED: u32 = 4;

/// The tokens of a byte-level BPE.
#[derive(Debug)]
pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    /// By token; none for those that stand for no text.
    bytes: Vec<Box<[u8]>>,
    /// Tokens with bytes, in the order of these.
    sorted: Vec<Entry>,
    /// `<|im_start|>` and `<|im_end|>`.
    pub(super) turn: (u32, u32),
}

#[derive(Debug)]
struct Entry {
    token: u32,
    /// Bytes that it begins with like the entry before it.
    shared: usize,
}

impl Vocabulary {
    pub(super) fn read(gguf: &Gguf) -> Result<Self, InputError> {
        let kind = gguf.text("tokenizer.ggml.model")?;
        let split = gguf.text("tokenizer.ggml.pre").unwrap_or("default");
        let byte_level = ByteLevel::new(false, true, true);
        // candle's own choice for these puts a space before every text.
        let pre_tokenizer: PreTokenizerWrapper = match (kind, split) {
            ("gpt2", "smollm") => {
                Sequence::new(vec![Digits::new(true).into(), byte_level.into()]).into()
            }
            ("gpt2", "default" | "gpt-2") => byte_level.into(),
            _ => {
                return Err(InputError::new(format!(
                    "the tokenizer `{kind}`, `{split}` is not supported"
                ))
                .at_key("tokenizer.ggml.pre")
                .hint("allowed: `gpt2` with `smollm`, `gpt-2` or `default`"));
            }
        };
        let mut tokenizer = Tokenizer::from_gguf(&gguf.content).map_err(|error| {
            InputError::new(format!("holds no tokenizer: {}", first_line(&error)))
                .at_key("tokenizer.ggml")
        })?;
        tokenizer.with_pre_tokenizer(Some(pre_tokenizer));
        // What a history or a rule quotes is text, and can't end a turn.
        tokenizer.set_encode_special_tokens(true);
        let bytes = token_bytes(gguf)?;
        let marker = |name: &str| {
            tokenizer.token_to_id(name).ok_or_else(|| {
                InputError::new(format!("the model has no token `{name}`"))
                    .at_key("tokenizer.ggml.tokens")
                    .hint("only instruct models with the ChatML template are supported")
            })
        };
        Ok(Self {
            turn: (marker("<|im_start|>")?, marker("<|im_end|>")?),
            sorted: sorted(&bytes),
            bytes,
            tokenizer,
        })
    }

    /// Number of tokens.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The tokens of a text; special ones never come of it.
    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        // A byte-level BPE can write every text.
        self.tokenizer
            .encode_fast(text, false)
            .map_or_else(|_| Vec::new(), |encoding| encoding.get_ids().to_vec())
    }

    /// What a token stands for.
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        usize::try_from(token)
            .ok()
            .and_then(|index| self.bytes.get(index))
            .map_or(&[], |bytes| bytes)
    }

    /// The tokens whose bytes a grammar allows next, all of them.
    pub(super) fn allowed(&self, state: &State<'_>) -> Vec<u32> {
        let mut allowed = Vec::new();
        // Behind each byte of the entry before, as far as it was allowed.
        let mut states = vec![state.clone()];
        for entry in &self.sorted {
            // It shares the byte that was refused.
            if entry.shared >= states.len() {
                continue;
            }
            states.truncate(entry.shared + 1);
            let bytes = self.bytes(entry.token);
            let fits = bytes[entry.shared..].iter().all(|byte| {
                // At least the first stands: `shared` is no less than 0.
                let mut next = states[states.len() - 1].clone();
                let fits = next.advance(*byte);
                if fits {
                    states.push(next);
                }
                fits
            });
            if fits {
                allowed.push(entry.token);
            }
        }
        allowed
    }
}

fn sorted(bytes: &[Box<[u8]>]) -> Vec<Entry> {
    let mut tokens: Vec<u32> = (0..).take(bytes.len()).collect();
    let text = |token: u32| &bytes[token as usize][..];
    tokens.retain(|token| !text(*token).is_empty());
    tokens.sort_by(|a, b| text(*a).cmp(text(*b)));
    let mut before: &[u8] = &[];
    tokens
        .into_iter()
        .map(|token| {
            let bytes = text(token);
            let shared = before.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            before = bytes;
            Entry { token, shared }
        })
        .collect()
}

fn token_bytes(gguf: &Gguf) -> Result<Vec<Box<[u8]>>, InputError> {
    let list = |key: &str| {
        let value = gguf.value(key)?;
        value
            .to_vec()
            .map_err(|_| InputError::new("is no list").at_key(key))
    };
    let tokens = list("tokenizer.ggml.tokens")?;
    let kinds = list("tokenizer.ggml.token_type")?;
    if tokens.len() != kinds.len() || u32::try_from(tokens.len()).is_err() {
        return Err(InputError::new(format!(
            "holds {} kinds for {} tokens",
            kinds.len(),
            tokens.len()
        ))
        .at_key("tokenizer.ggml.token_type"));
    }
    tokens
        .iter()
        .zip(kinds)
        .map(|(token, kind)| {
            let text = token.to_string().map_err(|_| {
                InputError::new("holds what is no text").at_key("tokenizer.ggml.tokens")
            })?;
            let stands_for_text = match kind {
                Value::I32(kind) => u32::try_from(*kind).is_ok_and(is_text),
                Value::U32(kind) => is_text(*kind),
                _ => false,
            };
            Ok(if stands_for_text {
                // A token that is not written in the alphabet stands for nothing that is known.
                text.chars()
                    .map(byte)
                    .collect::<Option<_>>()
                    .unwrap_or_default()
            } else {
                Box::default()
            })
        })
        .collect()
}

fn is_text(kind: u32) -> bool {
    kind == NORMAL || kind == USER_DEFINED
}

/// The byte that a character of the byte-level alphabet stands for: printable bytes of Latin-1 for
/// themselves, the 68 others in their order for U+0100 and on.
fn byte(character: char) -> Option<u8> {
    let printable = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(character) {
        code @ 0..0x100 => u8::try_from(code).ok().filter(printable),
        code => (0..=u8::MAX)
            .filter(|byte| !printable(byte))
            .nth(usize::try_from(code - 0x100).ok()?),
    }
}
