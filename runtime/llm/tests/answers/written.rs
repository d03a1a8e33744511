//! Lists of good ideas whose places are known, to be cut and damaged.

use orze_campaign::{Idea, Space};

use super::drafts::{Container, Draft, JSON, YAML, draft};

/// Ideas in a list.
pub const IDEAS: usize = 5;

/// A written list of ideas, and where each idea is known to be whole.
pub struct Written {
    pub text: String,
    /// An idea is whole once so many bytes have come.
    pub whole_at: Vec<usize>,
    pub ideas: Vec<Idea>,
}

/// Five ideas in four forms.
pub fn written(space: &Space) -> Vec<(&'static str, Written)> {
    let drafts: Vec<Draft> = (0..IDEAS).map(|number| draft(space, number)).collect();
    let ideas: Vec<Idea> = drafts.iter().map(|draft| draft.idea.clone()).collect();
    let maps: Vec<String> = drafts.iter().map(Draft::yaml).collect();
    let objects: Vec<String> = drafts.iter().map(Draft::json).collect();
    let form = |name: &str, containers: &[Container], maps: &[String]| {
        let container = containers.iter().find(|container| container.name == name);
        (container.unwrap().write)(maps)
    };
    let starts = |text: &str, mark: &str| -> Vec<usize> {
        text.match_indices(mark).map(|(at, _)| at).collect()
    };
    let mut all = Vec::new();
    for (name, end) in [("fenced", "```\n"), ("bare", "")] {
        let text = form(name, YAML, &maps);
        // An idea is whole when the mark of the next one has come, or the closing fence.
        let mut whole_at: Vec<usize> = starts(&text, "- idea_name")[1..]
            .iter()
            .map(|at| at + 1)
            .collect();
        whole_at.push(if end.is_empty() {
            usize::MAX
        } else {
            text.len() - 1
        });
        all.push((name, text, whole_at));
    }
    for name in ["structured", "fenced"] {
        let text = form(name, JSON, &objects);
        let whole_at = objects
            .iter()
            .map(|object| text.find(object.as_str()).unwrap() + object.len())
            .collect();
        all.push((name, text, whole_at));
    }
    all.into_iter()
        .map(|(name, text, whole_at)| {
            let written = Written {
                text,
                whole_at,
                ideas: ideas.clone(),
            };
            (name, written)
        })
        .collect()
}
