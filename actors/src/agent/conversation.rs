//! One cycle's exchange with a model: a prompt, an answer and, where ideas were lost, one repair.
//! Pure: the calls are made by others.

use orze_campaign::{Idea, RejectedIdea, Space};
use orze_llm::answer::{Answer, AnswerLimits, read_answer};
use orze_llm::prompt::{Prompt, repair};
use orze_llm::wire::{Completion, Message, Request, Role};

/// Where an exchange stands.
#[derive(Debug, Clone)]
pub struct Conversation {
    request: Request,
    limits: AnswerLimits,
    repaired: bool,
    /// Valid ideas, in the order of the answers.
    pub ideas: Vec<Idea>,
    /// What could not be taken.
    pub rejected: Vec<RejectedIdea>,
    /// What was wrong with the answers, in words.
    pub remarks: Vec<String>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Make the call of [`Conversation::request`].
    Repair,
    /// The cycle is over.
    Done,
}

impl Conversation {
    /// Begins with a prompt; `request` carries everything but the messages.
    pub fn begin(mut request: Request, prompt: Prompt, limits: AnswerLimits) -> Self {
        request.messages = vec![Message {
            role: Role::User,
            text: prompt.user,
        }];
        Self {
            request,
            limits,
            repaired: false,
            ideas: Vec::new(),
            rejected: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// What is to be asked now.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Takes in an answer. Ideas that can't be taken are explained to the model once.
    pub fn answered(&mut self, completion: &Completion, space: &Space) -> (Answer, Next) {
        let limits = AnswerLimits {
            ideas: self.limits.ideas.saturating_sub(self.ideas.len()),
            ..self.limits
        };
        let answer = read_answer(&completion.text, &completion.stop, space, &limits);
        self.remarks.extend(answer.remarks());
        self.ideas.extend(answer.ideas.iter().cloned());
        let lost = !answer.rejected.is_empty() || answer.ideas.is_empty();
        let next = if lost && !self.repaired && self.ideas.len() < self.limits.ideas {
            self.repaired = true;
            let unparsable = (answer.ideas.is_empty() && answer.rejected.is_empty())
                .then_some(completion.text.as_str());
            let correction = repair(&answer.rejected, unparsable);
            self.request.messages.extend([
                Message {
                    role: Role::Assistant,
                    text: completion.text.clone(),
                },
                Message {
                    role: Role::User,
                    text: correction,
                },
            ]);
            Next::Repair
        } else {
            Next::Done
        };
        self.rejected.extend(answer.rejected.iter().cloned());
        (answer, next)
    }
}

#[cfg(test)]
mod tests {
    use orze_llm::wire::{StopReason, Usage};

    use super::*;

    const SPACE: &str = "
space: test
dimensions:
  loss: {group: loss, choices: [focal, bce]}
  learning_rate: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
";

    fn conversation() -> (Conversation, Space) {
        let request = Request {
            system: "rules".to_owned(),
            messages: Vec::new(),
            max_output_tokens: 100,
            temperature: None,
            schema: None,
        };
        let prompt = Prompt {
            system: "rules".to_owned(),
            user: "go".to_owned(),
            tokens: 2,
            cut: Vec::new(),
        };
        let limits = AnswerLimits {
            ideas: 3,
            ..AnswerLimits::default()
        };
        let conversation = Conversation::begin(request, prompt, limits);
        (conversation, Space::parse(SPACE).unwrap())
    }

    fn says(text: &str) -> Completion {
        Completion {
            text: text.to_owned(),
            usage: Usage::default(),
            stop: StopReason::Finished,
            model: "m".to_owned(),
        }
    }

    const GOOD: &str = "- idea_name: a\n  loss: bce\n  learning_rate: 0.001\n";
    const BAD: &str = "- idea_name: b\n  loss: bec\n  learning_rate: 0.002\n";
    const MENDED: &str = "- idea_name: b\n  loss: bce\n  learning_rate: 0.004\n";

    #[test]
    fn a_lost_idea_is_explained_once_and_the_good_one_is_kept() {
        let (mut talk, space) = conversation();
        let (_, next) = talk.answered(&says(&format!("{GOOD}{BAD}")), &space);
        assert_eq!(next, Next::Repair);
        let [_, answer, correction] = &talk.request().messages[..] else {
            panic!("{:?}", talk.request().messages);
        };
        assert_eq!(answer.role, Role::Assistant);
        assert!(correction.text.contains("bec"), "{}", correction.text);
        assert_eq!(talk.answered(&says(MENDED), &space).1, Next::Done);
        let names: Vec<&str> = talk.ideas.iter().map(|idea| idea.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(talk.rejected.len(), 1);
    }

    #[test]
    fn nothing_is_asked_for_a_second_time_or_after_a_whole_answer() {
        let (mut talk, space) = conversation();
        assert_eq!(talk.answered(&says(GOOD), &space).1, Next::Done);
        let (mut talk, space) = conversation();
        assert_eq!(
            talk.answered(&says("I would rather not."), &space).1,
            Next::Repair
        );
        assert_eq!(talk.answered(&says("Really not."), &space).1, Next::Done);
        assert!(talk.ideas.is_empty());
        assert!(!talk.remarks.is_empty());
    }
}
