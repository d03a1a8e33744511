//! What was said in one call, on disk: for the person who asks why a model proposed what it did.
//!
//! One JSON file a call, written beside its place and then moved there, so that a reader sees all
//! of it or nothing. Every text is redacted before it is written.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use orze_campaign::experiment::ExperimentId;
use serde::{Deserialize, Serialize};

use crate::price::MicroUsd;
use crate::secret::Redactor;
use crate::wire::{Completion, Request, Usage};

/// One call and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// A name that no other call of the campaign has.
    pub id: String,
    /// Who asked.
    pub researcher: String,
    /// In which of its cycles.
    pub cycle: u64,
    /// Which attempt of the cycle, from 1.
    pub call: u32,
    /// The kind of model, as campaign files name it.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// When the call began: RFC 3339, UTC.
    pub started_at: String,
    /// How long it took.
    pub duration_ms: u64,
    /// What was asked.
    pub request: Request,
    /// What came back.
    pub outcome: TranscriptOutcome,
    /// Tokens, as far as reported.
    pub usage: Usage,
    /// What was booked.
    pub cost: MicroUsd,
    /// What became of each idea in the answer.
    pub verdicts: Vec<IdeaVerdict>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TranscriptOutcome {
    /// With an answer.
    Completion(Completion),
    /// With an error, in words.
    Error(String),
}

/// What became of one idea.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdeaVerdict {
    /// The idea's name.
    pub name: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Whether an idea became an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It did.
    Admitted {
        /// Which one, once the ledger has said so.
        experiment: Option<ExperimentId>,
    },
    /// It did not.
    Rejected {
        /// The class of the reason, as the ledger names it.
        kind: String,
        /// The reason in words.
        reason: String,
    },
}

/// Why a transcript can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// A name that would lead out of the folder.
    #[error("`{0}` can't be the name of a folder of transcripts")]
    Name(String),
    /// The disk.
    #[error("{}: {source}", .file.display())]
    Io {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not a transcript: cut, or written by somebody else.
    #[error("{}: not a transcript: {message}", .file.display())]
    Corrupted {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl Transcript {
    /// Where it stands: `<folder>/<researcher>/<cycle>-<call>.json`.
    ///
    /// # Errors
    ///
    /// When the researcher's name can't name a folder.
    pub fn file(&self, folder: &Path) -> Result<PathBuf, TranscriptError> {
        let name = &self.researcher;
        let is_plain =
            !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        if !is_plain {
            return Err(TranscriptError::Name(name.clone()));
        }
        let file = format!("{:06}-{}.json", self.cycle, self.call);
        Ok(folder.join(name).join(file))
    }

    /// Writes it, redacted; a transcript of the same call is replaced, which adds its verdicts.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn write(&self, folder: &Path, redactor: &Redactor) -> Result<PathBuf, TranscriptError> {
        let file = self.file(folder)?;
        let on_disk = |source| TranscriptError::Io {
            file: file.clone(),
            source,
        };
        let text = self.redacted_json(redactor).map_err(on_disk)?;
        replace(&file, text.as_bytes()).map_err(on_disk)?;
        Ok(file)
    }

    fn redacted_json(&self, redactor: &Redactor) -> io::Result<String> {
        let mut json = serde_json::to_value(self)?;
        redactor.redact_json(&mut json);
        Ok(serde_json::to_string_pretty(&json)? + "\n")
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`TranscriptError::Corrupted`] when the file is there and is no transcript.
    pub fn read(file: &Path) -> Result<Self, TranscriptError> {
        let bytes = std::fs::read(file).map_err(|source| TranscriptError::Io {
            file: file.to_path_buf(),
            source,
        })?;
        serde_json::from_slice(&bytes).map_err(|e| TranscriptError::Corrupted {
            file: file.to_path_buf(),
            message: e.to_string(),
        })
    }
}

/// Puts a file in its place whole, or not at all.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let temporary = file.with_extension("json.part");
    let mut part = File::create(&temporary)?;
    part.write_all(bytes)?;
    part.sync_all()?;
    std::fs::rename(&temporary, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::wire::{Message, Role, StopReason};

    fn transcript() -> Transcript {
        Transcript {
            id: "claude/7/1".to_owned(),
            researcher: "claude".to_owned(),
            cycle: 7,
            call: 1,
            provider: "anthropic".to_owned(),
            model: "claude-opus-4-6".to_owned(),
            started_at: "2026-01-02T03:04:05Z".to_owned(),
            duration_ms: 1_234,
            request: Request {
                system: "rules".to_owned(),
                messages: vec![Message {
                    role: Role::User,
                    text: "my key is hunter22-hunter22".to_owned(),
                }],
                max_output_tokens: 100,
                temperature: Some(0.5),
                schema: Some(serde_json::json!({"type": "object"})),
            },
            outcome: TranscriptOutcome::Completion(Completion {
                text: "- idea_name: a\n".to_owned(),
                usage: Usage::default(),
                stop: StopReason::Other("pause".to_owned()),
                model: "claude-opus-4-6".to_owned(),
            }),
            usage: Usage {
                input_tokens: 10,
                cached_tokens: 20,
                cache_write_tokens: 30,
                output_tokens: 40,
            },
            cost: MicroUsd(55),
            verdicts: vec![
                IdeaVerdict {
                    name: "a".to_owned(),
                    verdict: Verdict::Admitted {
                        experiment: Some(ExperimentId(3)),
                    },
                },
                IdeaVerdict {
                    name: "b".to_owned(),
                    verdict: Verdict::Rejected {
                        kind: "duplicate".to_owned(),
                        reason: "of 000002".to_owned(),
                    },
                },
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_again_without_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let redactor = Redactor::new([&Secret::new("hunter22-hunter22")]);
        let mut transcript = transcript();
        let file = transcript.write(folder.path(), &redactor).unwrap();
        assert_eq!(file, folder.path().join("claude/000007-1.json"));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("hunter22"), "{text}");
        let read = Transcript::read(&file).unwrap();
        transcript.request.messages[0].text = "my key is [redacted]".to_owned();
        assert_eq!(read, transcript);
        // Nothing else is left in the folder.
        assert_eq!(
            std::fs::read_dir(file.parent().unwrap()).unwrap().count(),
            1
        );
    }

    #[test]
    fn verdicts_are_readable_json() {
        let json = serde_json::to_value(transcript()).unwrap();
        let expected = serde_json::json!([
            {"name": "a", "verdict": "admitted", "experiment": 3},
            {"name": "b", "verdict": "rejected", "kind": "duplicate", "reason": "of 000002"},
        ]);
        assert_eq!(json["verdicts"], expected);
        assert_eq!(json["cost"], 55);
    }

    #[test]
    fn a_second_writing_replaces_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut transcript = transcript();
        transcript
            .write(folder.path(), &Redactor::default())
            .unwrap();
        transcript.outcome = TranscriptOutcome::Error("the answer has 0 bytes".to_owned());
        let file = transcript
            .write(folder.path(), &Redactor::default())
            .unwrap();
        assert_eq!(Transcript::read(&file).unwrap(), transcript);
    }

    #[test]
    fn a_cut_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = transcript()
            .write(folder.path(), &Redactor::default())
            .unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        for length in [0, 1, text.len() / 2, text.len() - 3] {
            std::fs::write(&file, &text[..length]).unwrap();
            let error = Transcript::read(&file).unwrap_err();
            assert!(
                matches!(error, TranscriptError::Corrupted { .. }),
                "{error}"
            );
            assert!(error.to_string().contains("000007-1.json"));
        }
        let missing = Transcript::read(&folder.path().join("none.json")).unwrap_err();
        assert!(matches!(missing, TranscriptError::Io { .. }));
    }

    #[test]
    fn a_name_can_t_lead_out_of_the_folder() {
        for name in ["", "..", "../x", "a/b", ".hidden"] {
            let transcript = Transcript {
                researcher: name.to_owned(),
                ..transcript()
            };
            let error = transcript.write(Path::new("/nowhere"), &Redactor::default());
            assert!(matches!(error, Err(TranscriptError::Name(_))), "{name}");
        }
    }
}
