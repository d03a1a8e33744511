//! The figures of the report with their captions.

use super::Findings;
use crate::document::{Block, Figure};
use crate::figures::{self, Context};

impl Findings<'_> {
    fn context(&self) -> Context<'_> {
        Context {
            objective_name: self.input.objective_name,
            is_surrogate: self.is_surrogate(),
        }
    }

    pub(super) fn running_best(&self) -> Block {
        figure(
            "running_best.svg",
            "Running best",
            "Every finished experiment in the order of finishing, by researcher. The line is the \
             best so far; ticks at the bottom are failures.",
            figures::running_best(
                &self.context(),
                self.input.records,
                self.input.baseline.as_ref(),
            ),
        )
    }

    pub(super) fn heat_map(&self) -> Block {
        figure(
            "heat_map.svg",
            "Objective by architecture",
            "Mean objective of each architecture cell, with its best and the number of completed \
             experiments. Means of few experiments are rough, and each mean mixes whatever \
             training settings were tried in its cell.",
            figures::heat_map(&self.context(), self.input.space, &self.results),
        )
    }

    pub(super) fn effects(&self) -> Block {
        figure(
            "effects.svg",
            "What explains the objective",
            "Share of the variance of the objective that each dimension explains by itself (η²); \
             floats are cut into up to four groups of about equal size. The mark is what a grouping \
             without any effect reaches by chance: a bar that ends near its mark says nothing. \
             Shares overlap and do not add up to 100 %.",
            figures::effects(&self.context(), self.input.space, &self.results),
        )
    }

    pub(super) fn learning_rate(&self) -> Block {
        figure(
            "learning_rate.svg",
            "Objective against the learning rate",
            "Every completed experiment by its first logarithmic training setting.",
            figures::learning_rate(&self.context(), self.input.space, &self.results),
        )
    }

    pub(super) fn researchers_figure(&self) -> Block {
        figure(
            "researchers.svg",
            "Objective by researcher",
            "Every completed experiment by researcher; the box holds the middle half, the thick \
             line is the median. Sweeps and replicates belong to the author of their base.",
            figures::researchers(&self.context(), &self.results),
        )
    }

    pub(super) fn slots_figure(&self) -> Block {
        figure(
            "slots.svg",
            "Slots over time",
            "The last attempt of each experiment on its slot. On the right, the share of the time \
             in which the slot held one.",
            figures::slots(&self.context(), &self.utilisation),
        )
    }
}

fn figure(file: &str, title: &str, caption: &str, svg: Result<String, String>) -> Block {
    Block::Figure(Figure {
        file: file.to_owned(),
        title: title.to_owned(),
        caption: caption.to_owned(),
        svg,
    })
}
