//! A server on 127.0.0.1 that says exactly what a test wants, byte by byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orze_llm::endpoint::{Endpoint, Timeouts};
use orze_llm::provider::ProviderKind;
use orze_llm::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::KEY;

/// What the server does with a connection, in order.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes in pieces of this length, this long apart.
    Drip(Vec<u8>, usize, Duration),
    /// Sends nothing more, and keeps the connection open until the client leaves.
    Stall,
    /// Sends this again and again until the client leaves.
    Repeat(Vec<u8>),
    /// Ends the connection with a reset instead of a farewell.
    Reset,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

pub struct Server {
    pub address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Server {
    /// Plays the same steps on every connection.
    pub async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&arrived);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (steps, seen) = (steps.clone(), Arc::clone(&seen));
                tokio::spawn(async move { serve(stream, &steps, &seen).await });
            }
        });
        Self { address, arrived }
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    pub fn endpoint(&self, kind: ProviderKind, stream: bool) -> Endpoint {
        let path = if kind == ProviderKind::OpenAi {
            "/v1"
        } else {
            ""
        };
        Endpoint {
            base_url: format!("http://{}{path}", self.address),
            timeouts: Timeouts {
                connection: Duration::from_secs(5),
                first_byte: Duration::from_secs(20),
                next_byte: Duration::from_secs(20),
                whole_answer: Duration::from_secs(60),
            },
            stream,
            ..Endpoint::new(kind, "model-1", Some(Secret::new(KEY)))
        }
    }
}

async fn serve(mut stream: TcpStream, steps: &[Step], seen: &Mutex<Vec<Arrived>>) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    seen.lock().unwrap().push(request);
    for step in steps {
        // A client that leaves early is no fault of the server's.
        let sent = match step {
            Step::Send(bytes) => stream.write_all(bytes).await,
            Step::Drip(bytes, length, pause) => drip(&mut stream, bytes, *length, *pause).await,
            Step::Stall => stream.read_u8().await.map(|_| ()),
            Step::Repeat(bytes) => loop {
                if let Err(e) = stream.write_all(bytes).await {
                    break Err(e);
                }
            },
            Step::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn drip(
    stream: &mut TcpStream,
    bytes: &[u8],
    length: usize,
    pause: Duration,
) -> std::io::Result<()> {
    let mut ticks = tokio::time::interval(pause);
    for piece in bytes.chunks(length) {
        ticks.tick().await;
        stream.write_all(piece).await?;
    }
    Ok(())
}

async fn read_request(stream: &mut TcpStream) -> Option<Arrived> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = parse_request(&bytes) {
            return Some(request);
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(length) if length > 0 => bytes.extend_from_slice(&piece[..length]),
            _ => return None,
        }
    }
}

fn parse_request(bytes: &[u8]) -> Option<Arrived> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    let body = bytes.get(end + 4..end + 4 + length)?;
    Some(Arrived {
        target,
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    })
}

/// The head of an answer without a length: its body ends with the connection.
pub fn head(status: u16, content_type: &str, extra: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: {content_type}\r\nconnection: close\r\n{extra}\r\n"
    )
    .into_bytes()
}

/// A whole answer with its length.
pub fn answer(status: u16, content_type: &str, extra: &str, body: &str) -> Step {
    let length = format!("content-length: {}\r\n{extra}", body.len());
    let mut bytes = head(status, content_type, &length);
    bytes.extend_from_slice(body.as_bytes());
    Step::Send(bytes)
}

pub fn content_type(stream: bool) -> &'static str {
    if stream {
        "text/event-stream; charset=utf-8"
    } else {
        "application/json"
    }
}

/// The recorded good answer.
pub fn recorded(kind: ProviderKind, stream: bool) -> &'static str {
    match (kind, stream) {
        (ProviderKind::Anthropic, false) => include_str!("../answers/anthropic.json"),
        (ProviderKind::Anthropic, true) => include_str!("../answers/anthropic.sse"),
        (ProviderKind::Gemini, false) => include_str!("../answers/gemini.json"),
        (ProviderKind::Gemini, true) => include_str!("../answers/gemini.sse"),
        (ProviderKind::OpenAi, false) => include_str!("../answers/openai.json"),
        (ProviderKind::OpenAi, true) => include_str!("../answers/openai.sse"),
    }
}
