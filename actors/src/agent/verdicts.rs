//! What became of each idea of a cycle, for its transcripts.

use orze_campaign::{Configuration, Idea};
use orze_ledger::News;
use orze_llm::answer::Answer;
use orze_llm::transcript::{IdeaVerdict, Transcript, Verdict};

/// One cycle's ideas and transcripts.
#[derive(Debug)]
pub struct Verdicts {
    researcher: String,
    cycle: u64,
    transcripts: Vec<Transcript>,
    /// The valid ones.
    ideas: Vec<JudgedIdea>,
    submitted: usize,
}

#[derive(Debug)]
struct JudgedIdea {
    /// The transcript it stands in.
    transcript: usize,
    name: String,
    configuration: Configuration,
    verdict: Option<Verdict>,
}

impl Verdicts {
    /// Of a cycle that begins.
    pub fn new(researcher: String, cycle: u64) -> Self {
        Self {
            researcher,
            cycle,
            transcripts: Vec::new(),
            ideas: Vec::new(),
            submitted: 0,
        }
    }

    /// A call has ended with this answer.
    pub fn answered(&mut self, mut transcript: Transcript, answer: &Answer) {
        let index = self.transcripts.len();
        transcript
            .verdicts
            .extend(answer.rejected.iter().map(|idea| IdeaVerdict {
                name: idea.name.clone(),
                verdict: Verdict::Rejected {
                    kind: "schema".to_owned(),
                    reason: idea.reasons.join("; "),
                },
            }));
        self.transcripts.push(transcript);
        self.ideas
            .extend(answer.ideas.iter().map(|idea| JudgedIdea {
                transcript: index,
                name: idea.name.clone(),
                configuration: idea.configuration.clone(),
                verdict: None,
            }));
    }

    /// So many ideas were handed on.
    pub fn submitted(&mut self, ideas: &[Idea]) {
        self.submitted = ideas.len();
    }

    /// Takes in news; whether they were about one of these ideas.
    pub fn take_in(&mut self, news: &News) -> bool {
        let (index, verdict) = match news {
            News::Admitted(record) if record.researcher == self.researcher => {
                let same = |idea: &JudgedIdea| {
                    idea.verdict.is_none()
                        && idea.name == record.name
                        && idea.configuration == record.config
                };
                let verdict = Verdict::Admitted {
                    experiment: Some(record.id),
                };
                (self.ideas.iter().position(same), verdict)
            }
            News::Rejected(rejection) => {
                let prefix = format!("{}/{}/", self.researcher, self.cycle);
                let number = rejection.origin_key.strip_prefix(&prefix);
                let number = number.and_then(|number| number.parse::<usize>().ok());
                let verdict = Verdict::Rejected {
                    kind: rejection.kind.name().to_owned(),
                    reason: rejection.reason.clone(),
                };
                (number.and_then(|number| number.checked_sub(1)), verdict)
            }
            _ => return false,
        };
        let Some(idea) = index.and_then(|index| self.ideas.get_mut(index)) else {
            return false;
        };
        idea.verdict = Some(verdict);
        true
    }

    /// Whether every idea has its verdict.
    pub fn are_complete(&self) -> bool {
        self.ideas.len() == self.submitted && self.ideas.iter().all(|idea| idea.verdict.is_some())
    }

    /// The transcripts with the verdicts in them.
    pub fn transcripts(&mut self) -> &[Transcript] {
        for idea in std::mem::take(&mut self.ideas) {
            if let Some(verdict) = idea.verdict {
                let name = idea.name;
                let verdicts = &mut self.transcripts[idea.transcript].verdicts;
                verdicts.push(IdeaVerdict { name, verdict });
            }
        }
        self.submitted = 0;
        &self.transcripts
    }
}

/// A time as transcripts write it.
pub fn rfc3339(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| String::new(), |at| at.to_string())
}
