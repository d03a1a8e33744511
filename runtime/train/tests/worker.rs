//! The worker's protocol, from outside.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use orze_campaign::protocol::{PROTOCOL_VERSION, Reply, Request, TrainRequest, TrainerSpec};
use orze_campaign::settings::Precision;
use orze_campaign::{Configuration, Execution, ExperimentId, FailureKind};
use orze_train::worker::serve;

/// The reading end of a channel of bytes.
struct Receiver(mpsc::Receiver<Vec<u8>>, Vec<u8>);

impl Read for Receiver {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.1.is_empty() {
            match self.0.recv() {
                Ok(bytes) => self.1 = bytes,
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.1.len());
        buffer[..count].copy_from_slice(&self.1[..count]);
        self.1.drain(..count);
        Ok(count)
    }
}

/// The writing end.
struct Sender(mpsc::Sender<Vec<u8>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .send(bytes.to_vec())
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A worker in a thread of this process.
struct Worker {
    requests: Option<mpsc::Sender<Vec<u8>>>,
    replies: BufReader<Receiver>,
    thread: std::thread::JoinHandle<io::Result<()>>,
    input_ended: mpsc::Receiver<()>,
}

impl Worker {
    fn start() -> Self {
        let (requests, input) = mpsc::channel();
        let (output, replies) = mpsc::channel();
        let (ended, input_ended) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let input = BufReader::new(Receiver(input, Vec::new()));
            serve(input, Sender(output), move || {
                ended.send(()).unwrap_or_default();
            })
        });
        Self {
            requests: Some(requests),
            replies: BufReader::new(Receiver(replies, Vec::new())),
            thread,
            input_ended,
        }
    }

    fn line(&self, text: &str) {
        let line = format!("{text}\n").into_bytes();
        self.requests.as_ref().unwrap().send(line).unwrap();
    }

    fn ask(&self, request: &Request) {
        self.line(&serde_json::to_string(request).unwrap());
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    /// Skips progress.
    fn answer(&mut self) -> Reply {
        loop {
            let reply = self.reply();
            if !matches!(reply, Reply::Progress { .. }) {
                return reply;
            }
        }
    }

    fn end(mut self) {
        drop(self.requests.take());
        self.input_ended.recv().unwrap();
        self.thread.join().unwrap().unwrap();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn load(trainer: TrainerSpec) -> Request {
    Request::Load {
        version: PROTOCOL_VERSION,
        trainer,
        memory_mib: None,
    }
}

fn candle() -> Request {
    load(TrainerSpec::Candle {
        data: root().join("examples/shoulder/pack"),
        device: "cpu".to_owned(),
        threads: 1,
        precision: Precision::F32,
    })
}

fn surrogate(seconds: f64) -> Request {
    load(TrainerSpec::Surrogate {
        file: root().join("configs/surrogates/search_surrogate.json"),
        seconds,
        noise_sd: 0.0,
    })
}

fn train(fence: u64, configuration: &Configuration, folder: &Path) -> Request {
    Request::Train(TrainRequest {
        experiment: ExperimentId(fence),
        attempt: 1,
        fence,
        configuration: configuration.clone(),
        encoder: Some(Box::new(orze_shipped::spec("retnet", 8, 1, 2))),
        seed: 1,
        directory: folder.join(fence.to_string()),
        evaluate_test: false,
        execution: Execution::default(),
    })
}

fn small() -> Configuration {
    Configuration::default()
        .with("backbone", "raw")
        .with("temporal_encoder", "retnet")
        .with("pooling", "mean")
        .with("loss", "bce")
        .with("learning_rate", 5e-3)
        .with("batch_size", 128)
        .with("epochs", 2)
        .with("seq_len", 6)
        .with("model_dim", 8)
        .with("layers", 1)
        .with("heads", 2)
}

fn point() -> Configuration {
    let mut point = Configuration::default();
    for name in [
        "backbone", "encoder", "pooling", "loss", "batch", "sched", "seq", "epochs",
    ] {
        point = point.with(name, 1);
    }
    for (name, value) in [
        ("lr", 1e-4),
        ("wd", 1e-3),
        ("focal_gamma", 2.0),
        ("focal_alpha", 0.3),
    ] {
        point = point.with(name, value);
    }
    point
        .with("oversample", 2.0)
        .with("mixup", 0.2)
        .with("noise", 0.1)
}

#[test]
fn trains_with_progress_at_each_epoch_and_stays_warm() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Worker::start();
    worker.ask(&candle());
    let Reply::Ready {
        version,
        data_digest,
    } = worker.reply()
    else {
        panic!("not ready");
    };
    assert_eq!((version, data_digest.len()), (PROTOCOL_VERSION, 64));
    for fence in [1, 2] {
        worker.ask(&train(fence, &small(), folder.path()));
        let mut finished = Vec::new();
        let metrics = loop {
            match worker.reply() {
                Reply::Progress {
                    epoch,
                    objective: Some(_),
                    ..
                } => finished.push(epoch),
                Reply::Progress { .. } => {}
                Reply::Done {
                    fence: done,
                    metrics,
                } => {
                    assert_eq!(done, fence);
                    break metrics;
                }
                other => panic!("{other:?}"),
            }
        };
        assert!(
            finished.contains(&1) && finished.contains(&2),
            "{finished:?}"
        );
        assert!((0.0..=1.0).contains(&metrics.objective));
    }
    worker.end();
}

#[test]
fn a_failure_leaves_the_worker_alive() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Worker::start();
    worker.ask(&train(1, &small(), folder.path()));
    assert!(
        matches!(worker.reply(), Reply::Failed { fence: Some(1), .. }),
        "before load"
    );
    worker.ask(&candle());
    worker.reply();
    worker.ask(&train(
        2,
        &small().with("backbone", "vjepa2"),
        folder.path(),
    ));
    let Reply::Failed {
        fence: Some(2),
        failure,
        cancelled: false,
    } = worker.answer()
    else {
        panic!("not failed");
    };
    assert_eq!(failure.kind, FailureKind::MissingFeatures);
    worker.line("no json");
    assert!(matches!(worker.reply(), Reply::Failed { fence: None, .. }));
    worker.ask(&train(3, &small(), folder.path()));
    assert!(matches!(worker.answer(), Reply::Done { fence: 3, .. }));
    worker.end();
}

#[test]
fn what_can_not_be_loaded_is_answered_with_the_file_and_a_hint() {
    let mut worker = Worker::start();
    worker.ask(&load(TrainerSpec::Candle {
        data: "no/such/pack".into(),
        device: "cpu".to_owned(),
        threads: 1,
        precision: Precision::F32,
    }));
    let Reply::Failed {
        fence: None,
        failure,
        ..
    } = worker.reply()
    else {
        panic!("not failed");
    };
    assert_eq!(failure.kind, FailureKind::MissingFeatures);
    assert!(failure.message.contains("no/such/pack"), "{failure}");
    worker.ask(&Request::Load {
        version: PROTOCOL_VERSION + 1,
        trainer: TrainerSpec::Candle {
            data: "x".into(),
            device: "cpu".to_owned(),
            threads: 1,
            precision: Precision::F32,
        },
        memory_mib: None,
    });
    assert!(matches!(worker.reply(), Reply::Failed { fence: None, .. }));
    worker.ask(&load(TrainerSpec::Candle {
        data: root().join("examples/shoulder/pack"),
        device: "cpu".to_owned(),
        threads: 1,
        precision: Precision::Tf32,
    }));
    let Reply::Failed { failure, .. } = worker.reply() else {
        panic!("not failed");
    };
    assert!(failure.message.contains("trainer.precision"), "{failure}");
    worker.end();
}

#[test]
fn a_damaged_pack_is_told_from_a_missing_one() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(root().join("examples/shoulder/pack")).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let features = folder.path().join("features.safetensors");
    let whole = std::fs::read(&features).unwrap();
    let mut bytes = whole.clone();
    // Half of them.
    bytes[whole.len() / 2..].fill(0);
    std::fs::write(&features, &bytes).unwrap();
    let spec = TrainerSpec::Candle {
        data: folder.path().into(),
        device: "cpu".to_owned(),
        threads: 1,
        precision: Precision::F32,
    };
    let mut worker = Worker::start();
    worker.ask(&load(spec.clone()));
    let failed = |reply: Reply| match reply {
        Reply::Failed { failure, .. } => failure,
        other => panic!("not failed: {other:?}"),
    };
    let failure = failed(worker.reply());
    assert_eq!(failure.kind, FailureKind::CorruptFeatures, "{failure}");
    let named = features.display().to_string();
    assert!(failure.message.contains(&named), "{failure}");

    // One training clip, which may be left out, but only if that was decided.
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    std::fs::write(&features, bytes).unwrap();
    worker.ask(&load(spec));
    assert!(matches!(worker.reply(), Reply::Ready { .. }));
    let out = folder.path().join("out");
    worker.ask(&train(1, &small(), &out));
    let failure = failed(worker.answer());
    assert_eq!(failure.kind, FailureKind::CorruptFeatures, "{failure}");
    assert!(failure.message.contains(&named), "{failure}");
    assert!(failure.message.contains("1 training clips"), "{failure}");
    let Request::Train(mut without) = train(2, &small(), &out) else {
        panic!("not a training");
    };
    without.execution.drop_unreadable = true;
    worker.ask(&Request::Train(without));
    let Reply::Done { metrics, .. } = worker.answer() else {
        panic!("not done");
    };
    assert_eq!(metrics.values["dropped_train_clips"], 1.0);
    assert_eq!(metrics.values["train_clips"], 975.0);

    // Looked for once more, they have gone; and when they are back, all is well.
    std::fs::remove_file(&features).unwrap();
    worker.ask(&train(3, &small(), &out));
    let failure = failed(worker.answer());
    assert_eq!(failure.kind, FailureKind::MissingFeatures, "{failure}");
    assert!(failure.message.contains(&named), "{failure}");
    std::fs::write(&features, whole).unwrap();
    worker.ask(&train(4, &small(), &out));
    let Reply::Done { metrics, .. } = worker.answer() else {
        panic!("not done");
    };
    assert_eq!(metrics.values["train_clips"], 976.0);
    assert!(!metrics.values.contains_key("dropped_train_clips"));
    worker.end();
}

#[test]
fn the_surrogate_goes_through_the_same_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Worker::start();
    worker.ask(&surrogate(0.0));
    assert!(matches!(worker.reply(), Reply::Ready { .. }));
    worker.ask(&train(7, &point(), folder.path()));
    let Reply::Done { metrics, .. } = worker.answer() else {
        panic!("not done");
    };
    assert!((0.5..0.9).contains(&metrics.objective));
    assert!(folder.path().join("7/metrics.json").exists());
    worker.end();
}

#[test]
fn cancel_ends_its_own_experiment_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Worker::start();
    worker.ask(&surrogate(3600.0));
    worker.reply();
    worker.ask(&train(4, &point(), folder.path()));
    worker.ask(&Request::Cancel { fence: 3 });
    worker.ask(&Request::Cancel { fence: 4 });
    let Reply::Failed {
        fence, cancelled, ..
    } = worker.answer()
    else {
        panic!("not failed");
    };
    assert_eq!((fence, cancelled), (Some(4), true));
    worker.end();
}

#[test]
fn the_end_of_the_input_ends_a_running_experiment() {
    let folder = tempfile::tempdir().unwrap();
    for (request, configuration) in [
        (surrogate(3600.0), point()),
        (candle(), small().with("epochs", 1_000_000)),
    ] {
        let mut worker = Worker::start();
        worker.ask(&request);
        worker.reply();
        worker.ask(&train(1, &configuration, folder.path()));
        worker.end();
    }
}
