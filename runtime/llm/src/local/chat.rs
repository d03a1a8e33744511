//! The ChatML prompt, and what is left out of one that is too long.
//!
//! Cut in this order, each only as far as needed: the oldest messages, whole; the end of the
//! system text, whose rules and space the grammar holds the answer to anyway, while the role stands
//! at its beginning; the beginning of the last message, whose end is the newest history and the
//! task.

use super::vocabulary::Vocabulary;
use crate::wire::{CallError, Request, Role};

/// Tokens of the conversation, without the marks of turns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Conversation {
    system: Vec<u32>,
    /// Each with its role.
    messages: Vec<(Role, Vec<u32>)>,
}

/// The tokens of a request, at most `budget` of them, up to where the model begins to answer.
///
/// # Errors
/// [`CallError::Rejected`] when not even the marks of the turns fit.
pub(super) fn prompt(
    vocabulary: &Vocabulary,
    request: &Request,
    budget: usize,
) -> Result<Vec<u32>, CallError> {
    let (begin, end) = vocabulary.turn;
    let head = |role: &str| {
        let mut tokens = vec![begin];
        tokens.extend(vocabulary.encode(role));
        tokens.extend(vocabulary.encode("\n"));
        tokens
    };
    let (system, user, assistant) = (head("system"), head("user"), head("assistant"));
    let mut tail = vec![end];
    tail.extend(vocabulary.encode("\n"));
    let turn = user.len().max(system.len()).max(assistant.len()) + tail.len();
    let mut conversation = Conversation {
        system: vocabulary.encode(&request.system),
        messages: request
            .messages
            .iter()
            .map(|message| (message.role, vocabulary.encode(&message.text)))
            .collect(),
    };
    if !conversation.fit(budget, turn) {
        return Err(CallError::Rejected {
            status: 413,
            message: format!("a prompt of {budget} tokens is too short to ask anything"),
        });
    }
    let mut tokens = Vec::new();
    if !conversation.system.is_empty() {
        tokens.extend(&system);
        tokens.extend(&conversation.system);
        tokens.extend(&tail);
    }
    for (role, message) in &conversation.messages {
        tokens.extend(match role {
            Role::User => &user,
            Role::Assistant => &assistant,
        });
        tokens.extend(message);
        tokens.extend(&tail);
    }
    tokens.extend(assistant);
    Ok(tokens)
}

impl Conversation {
    /// Cuts it to a budget; `false` when there is nothing left to cut. Each turn costs `turn`
    /// tokens for its marks, and one more turn is begun at the end.
    fn fit(&mut self, budget: usize, turn: usize) -> bool {
        while self.messages.len() > 1 && self.len(turn) > budget {
            self.messages.remove(0);
            // A conversation begins with the user.
            while self.messages.len() > 1 && self.messages[0].0 == Role::Assistant {
                self.messages.remove(0);
            }
        }
        let excess = self.len(turn).saturating_sub(budget);
        self.system
            .truncate(self.system.len().saturating_sub(excess));
        let excess = self.len(turn).saturating_sub(budget);
        if let Some((_, last)) = self.messages.last_mut() {
            last.drain(..excess.min(last.len()));
        }
        self.len(turn) <= budget
    }

    fn len(&self, turn: usize) -> usize {
        let system = match self.system.len() {
            0 => 0,
            tokens => tokens + turn,
        };
        let messages = self.messages.iter().map(|(_, tokens)| tokens.len() + turn);
        system + messages.sum::<usize>() + turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> Conversation {
        Conversation {
            system: vec![1; 10],
            messages: vec![
                (Role::User, vec![2; 10]),
                (Role::Assistant, vec![3; 10]),
                (Role::User, (0..10).collect()),
            ],
        }
    }

    #[test]
    fn old_messages_go_first_then_the_rules_and_the_task_last() {
        let whole = conversation();
        let cut = |budget: usize| {
            let mut cut = whole.clone();
            assert!(cut.fit(budget, 2));
            assert!(cut.len(2) <= budget);
            cut
        };
        assert_eq!(cut(50), whole);
        let last = cut(49);
        assert_eq!((last.system.len(), last.messages.len()), (10, 1));
        let less = cut(20);
        assert_eq!((less.system.len(), less.messages[0].1.len()), (4, 10));
        let least = cut(7);
        assert_eq!(
            (least.system.len(), &least.messages[0].1[..]),
            (0, &[7, 8, 9][..])
        );
        assert!(!whole.clone().fit(3, 2));
    }
}
