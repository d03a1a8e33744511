//! A server that speaks like OpenAI's chat completions and answers as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// What the server does with a request.
pub enum Reply {
    /// A completion with this text; 100 tokens in, 50 out.
    Text(String),
    /// An error status with a message.
    Status(u16, &'static str),
    /// Nothing, until the caller gives up.
    Silence,
}

/// A server at work; it ends with the test's process.
pub struct ModelServer {
    address: String,
    requests: Receiver<Value>,
}

impl ModelServer {
    /// Starts one; `answer` is given the number of the request, from 0, and its body.
    pub fn start(mut answer: impl FnMut(usize, &Value) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let Some(body) = read_request(&stream) else {
                    continue;
                };
                let reply = answer(number, &body);
                if sender.send(body).is_err() {
                    return;
                }
                match reply {
                    Reply::Text(text) => respond(&stream, 200, &completion(&text)),
                    Reply::Status(status, message) => {
                        respond(&stream, status, &json!({"error": {"message": message}}));
                    }
                    Reply::Silence => silent.push(stream),
                }
            }
        });
        Self { address, requests }
    }

    /// Its base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The body of the next request; waits for it.
    pub fn next_request(&self) -> Value {
        let limit = Duration::from_secs(60);
        self.requests.recv_timeout(limit).expect("a request")
    }

    /// The bodies of the requests so far that were not asked for yet.
    pub fn requests(&self) -> Vec<Value> {
        self.requests.try_iter().collect()
    }
}

/// A valid idea of the surrogate's space; different numbers are far apart.
pub fn idea(number: usize) -> String {
    let rate = 10_f64.powf(-2.5 - 0.05 * (number % 60) as f64);
    format!(
        "- idea_name: idea {number}\n  backbone: {}\n  encoder: {}\n  pooling: {}\n  loss: {}\n  \
         focal_gamma: 2.0\n  focal_alpha: 0.25\n  batch: 1\n  sched: 0\n  seq: 2\n  epochs: 2\n  \
         lr: {rate:.7}\n  wd: 0.001\n  oversample: 2.0\n  mixup: 0.1\n  noise: 0.05\n  \
         priority: normal\n  rationale: \"number {number}\"\n",
        number % 6,
        number / 6 % 5,
        number / 30 % 4,
        number % 3,
    )
}

/// Answers with three new ideas each time.
pub fn inventive(number: usize, _: &Value) -> Reply {
    let ideas: String = (3 * number..3 * number + 3).map(idea).collect();
    Reply::Text(format!("Here they are:\n```yaml\n{ideas}```\n"))
}

fn completion(text: &str) -> Value {
    json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
        }],
        "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    })
}

fn read_request(stream: &TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn respond(mut stream: &TcpStream, status: u16, body: &Value) {
    let body = body.to_string();
    // A caller that was killed reads nothing.
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
}
