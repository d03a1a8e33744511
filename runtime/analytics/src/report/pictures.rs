//! The figures of the report with their captions.

use super::Findings;
use crate::document::{Block, Figure};
use crate::figures::{self, Context};
use crate::measured::cell_dimensions;
use crate::selection::Standing;

impl Findings<'_> {
    fn context(&self) -> Context<'_> {
        Context {
            objective_name: self.input.objective_name,
            is_surrogate: self.is_surrogate(),
        }
    }

    pub(super) fn running_best(&self) -> Block {
        figure(
            "running_best",
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

    pub(super) fn seeds_figure(&self, standings: &[Standing]) -> Block {
        figure(
            "seeds",
            "Under fresh seeds",
            "What configurations measure when they are trained again: dots are fresh seeds, the line \
             through them their mean with its 95 % interval (the noise is pooled over all of them), the \
             cross the value that made each stand out. A cross far right of its dots was luck. Below, \
             for those that have led, the score on the test split.",
            figures::seeds(&self.context(), standings),
        )
    }

    pub(super) fn convergence_figure(&self) -> Block {
        figure(
            "convergence",
            "Convergence",
            "The running best over completed experiments with three models fitted to it by least \
             squares; on the right, where the power law ends and the 95 % bootstrap interval of \
             that. All three take the steps of a running best for independent, which they are not: \
             R² and AIC flatter them.",
            figures::convergence(&self.context(), self.learned.convergence.as_ref()),
        )
    }

    pub(super) fn heat_map(&self) -> Block {
        figure(
            "heat_map",
            "Objective by architecture",
            "Mean objective of each architecture cell, with its best and the number of completed \
             experiments. Means of few experiments are rough, and each mean mixes whatever \
             training settings were tried in its cell.",
            figures::heat_map(&self.context(), self.input.space, &self.results),
        )
    }

    pub(super) fn variance_figure(&self) -> Block {
        figure(
            "variance",
            "What explains the objective",
            "Share of the variance of the objective that each dimension explains by itself (η²); \
             floats are cut into up to four groups of about equal size. The dashed mark is what a \
             grouping without any effect reaches by chance: a bar that ends near its mark says \
             nothing. The line is the 95 % bootstrap interval of the share in the long run, with \
             chance taken off, so it may end below its bar. Shares overlap and do not add up to \
             100 %.",
            figures::variance(&self.context(), self.learned.n, &self.learned.variance),
        )
    }

    pub(super) fn ablation_figure(&self) -> Block {
        figure(
            "ablation",
            "What each component reached",
            "For each value of each discrete dimension, the mean objective of its best 50 \
             experiments (of all, where there are fewer) with its 95 % bootstrap interval. Values \
             that were tried more often have better tops for that reason alone: compare those of \
             similar n.",
            figures::ablation(&self.context(), self.learned.n, &self.learned.ablation),
        )
    }

    pub(super) fn learning_rate(&self) -> Block {
        figure(
            "learning_rate",
            "Objective against the learning rate",
            "Every completed experiment by its first logarithmic training setting.",
            figures::learning_rate(&self.context(), self.input.space, &self.results),
        )
    }

    pub(super) fn entropy_figure(&self) -> Block {
        figure(
            "entropy",
            "Entropy of what was tried",
            "How evenly the last experiments spread over discrete configurations, architectures \
             and training settings: high while exploring, low while exploiting. A window of w \
             experiments can't exceed ln w nats.",
            figures::entropy(&self.context(), &self.learned),
        )
    }

    pub(super) fn shift_figure(&self) -> Block {
        let cells = cell_dimensions(self.input.space);
        let (title, drawn) = match cells.first() {
            Some(first) => (
                format!("Share of each {} over time", first.name),
                figures::shift(&self.context(), &first.name, &self.learned),
            ),
            None => (
                "Shift of the architecture".to_owned(),
                Err("The space has no categorical architecture dimension.".to_owned()),
            ),
        };
        figure(
            "shift",
            &title,
            "What was tried of the first architecture dimension, as shares of the last finished \
             experiments.",
            drawn,
        )
    }

    pub(super) fn innovation_figure(&self) -> Block {
        figure(
            "innovation",
            "Innovation",
            "How often a completed experiment became the best of the campaign, in a sliding \
             window, with the power law of equation 4. The very first result counts as one in the \
             window, not in the law.",
            figures::innovation(
                &self.context(),
                &self.learned.innovation,
                self.learned.convergence.as_ref(),
            ),
        )
    }

    pub(super) fn specialisation_figure(&self) -> Block {
        figure(
            "specialisation",
            "Specialisation of researchers",
            "Jensen–Shannon divergence between the architecture cells that two researchers tried, \
             over all their experiments so far: 0 where they choose alike, ln 2 where they have \
             nothing in common. Few experiments alone make it large: compare with the level of \
             chance in the table.",
            figures::specialisation(&self.context(), &self.learned),
        )
    }

    pub(super) fn gain_figure(&self) -> Block {
        figure(
            "gain",
            "Gain and cost by researcher",
            "By how much each researcher raised the best of the campaign, and that per hour of a \
             slot and per dollar spent on models. What is found early can't be found again, so the \
             order of turns is part of it; the very first result gains nothing.",
            figures::gain(&self.context(), &self.learned.researchers),
        )
    }

    pub(super) fn researchers_figure(&self) -> Block {
        figure(
            "researchers",
            "Objective by researcher",
            "Every completed experiment by researcher; the box holds the middle half, the thick \
             line is the median. Sweeps and replicates belong to the author of their base.",
            figures::researchers(&self.context(), &self.results),
        )
    }

    pub(super) fn agreement_figure(&self) -> Block {
        figure(
            "validation_test",
            "Validation against test",
            "Every completed experiment with both, by the first architecture dimension. A cloud of \
             each colour that does not rise by itself says that only the groups differ.",
            figures::agreement(
                &self.context(),
                self.input.space,
                &self.results,
                self.learned.test.as_ref(),
            ),
        )
    }

    pub(super) fn slots_figure(&self) -> Block {
        figure(
            "slots",
            "Slots over time",
            "The last attempt of each experiment on its slot. On the right, the share of the time \
             in which the slot held one.",
            figures::slots(&self.context(), &self.utilisation),
        )
    }
}

fn figure(name: &'static str, title: &str, caption: &str, svg: Result<String, String>) -> Block {
    Block::Figure(Figure {
        name,
        title: title.to_owned(),
        caption: caption.to_owned(),
        svg,
    })
}
