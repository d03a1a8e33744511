//! Progress for a person: a view that is redrawn on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use orze_actors::View;
use orze_actors::context::now_ms;
use orze_actors::view::SlotView;
use orze_campaign::Space;
use tokio::sync::watch;
use tracing_subscriber::fmt::MakeWriter;

use crate::arguments::Progress;

/// Where progress and log lines go.
#[derive(Clone)]
pub struct Screen {
    bars: Option<MultiProgress>,
    quiet: bool,
}

impl Screen {
    /// The screen that the user asked for.
    pub fn new(progress: Progress) -> Self {
        let live = match progress {
            Progress::Live => true,
            Progress::Auto => std::io::stderr().is_terminal(),
            Progress::Plain | Progress::None => false,
        };
        Self {
            bars: live
                .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8))),
            quiet: progress == Progress::None,
        }
    }

    /// Prints a line above the bars, or as it is.
    pub fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        self.always(text);
    }

    /// A line at the bottom that changes while something goes on; only on a live screen.
    pub fn spinner(&self) -> Option<ProgressBar> {
        let bars = self.bars.as_ref()?;
        let spinner = bars.add(ProgressBar::new_spinner());
        spinner.enable_steady_tick(Duration::from_millis(200));
        Some(spinner)
    }

    fn always(&self, text: &str) {
        let shown = self
            .bars
            .as_ref()
            .is_some_and(|bars| bars.println(text).is_ok());
        if !shown {
            eprintln!("{text}");
        }
    }
}

/// Log lines go above the bars, so that they don't tear them.
impl<'a> MakeWriter<'a> for Screen {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            screen: self.clone(),
            text: Vec::new(),
        }
    }
}

/// One log line on its way.
pub struct Line {
    screen: Screen,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        if !text.trim().is_empty() {
            self.screen.always(text.trim_end());
        }
    }
}

/// What the view needs to know beside the figures.
#[derive(Debug, Clone)]
pub struct Goal {
    /// The campaign's name.
    pub campaign: String,
    /// The value that ranks.
    pub objective: String,
    /// Finished experiments at which the campaign is done.
    pub experiments: Option<u64>,
    /// Number of slots.
    pub slots: usize,
    /// Number of language models.
    pub agents: usize,
}

/// Shows the campaign until the view's sender is gone.
pub async fn show(screen: Screen, mut view: watch::Receiver<View>, goal: Goal, space: &Space) {
    let began = Instant::now();
    let mut painter = screen.bars.clone().map(|bars| Painter::new(&bars, &goal));
    let mut shown = 0;
    let mut last_summary = Instant::now();
    let mut ticker = tokio::time::interval(Duration::from_millis(250));
    loop {
        let open = tokio::select! {
            changed = view.changed() => changed.is_ok(),
            _ = ticker.tick() => true,
        };
        let now = view.borrow_and_update().clone();
        let new = usize::try_from(now.event_count.saturating_sub(shown)).unwrap_or(usize::MAX);
        let skipped = new.saturating_sub(now.events.len());
        if skipped > 0 {
            screen.line(&format!("  … {skipped} more"));
        }
        for event in &now.events[now.events.len().saturating_sub(new)..] {
            screen.line(&format!("  {event}"));
        }
        shown = now.event_count;
        match &mut painter {
            Some(painter) => painter.paint(&now, &goal, began, space),
            None if last_summary.elapsed() > Duration::from_secs(10) => {
                last_summary = Instant::now();
                screen.line(&format!(
                    "{}{}",
                    summary(&now, &goal, began, space),
                    paused(&now)
                ));
                for line in now.leader.iter().chain(&now.search) {
                    screen.line(&format!("  {line}"));
                }
                for agent in &now.agents {
                    screen.line(&format!("  {}: {}", agent.name, agent.describe(now_ms())));
                }
            }
            None => {}
        }
        if !open {
            break;
        }
    }
    if let Some(painter) = painter {
        painter.clear();
    }
}

struct Painter {
    overall: ProgressBar,
    best: ProgressBar,
    search: ProgressBar,
    agents: Vec<ProgressBar>,
    slots: Vec<ProgressBar>,
}

impl Painter {
    fn new(bars: &MultiProgress, goal: &Goal) -> Self {
        let line = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_spinner())
        };
        let overall = bars.add(ProgressBar::new(goal.experiments.unwrap_or(0)));
        overall.set_style(
            line("{prefix:.bold} {wide_bar:.cyan/dim} {pos}/{len}  {msg}").progress_chars("━╸─"),
        );
        overall.set_prefix(goal.campaign.clone());
        let best = bars.add(ProgressBar::new_spinner());
        best.set_style(line("  {wide_msg}"));
        let search = bars.add(ProgressBar::new_spinner());
        search.set_style(line("  {wide_msg}"));
        let agents = (0..goal.agents)
            .map(|_| {
                let bar = bars.add(ProgressBar::new_spinner());
                bar.set_style(line("  {prefix:.bold}  {wide_msg}"));
                bar
            })
            .collect();
        let slots = (0..goal.slots)
            .map(|slot| {
                let bar = bars.add(ProgressBar::new(1));
                bar.set_style(
                    line("  slot {prefix} {bar:16.green/dim} {wide_msg}").progress_chars("━╸─"),
                );
                bar.set_prefix(format!("{slot:<2}"));
                bar
            })
            .collect();
        Self {
            overall,
            best,
            search,
            agents,
            slots,
        }
    }

    fn paint(&mut self, view: &View, goal: &Goal, began: Instant, space: &Space) {
        let counts = view.figures.counts;
        let finished = counts.finished() as u64;
        self.overall.set_position(finished);
        self.overall.set_message(format!(
            "{} queued  {}{}",
            view.queued(),
            eta(view, goal, began),
            paused(view)
        ));
        self.best.set_message(best(view, goal, space));
        let known: Vec<&str> = view
            .leader
            .iter()
            .chain(&view.search)
            .map(String::as_str)
            .collect();
        self.search.set_message(known.join("; "));
        for (agent, bar) in view.agents.iter().zip(&self.agents) {
            bar.set_prefix(agent.name.clone());
            bar.set_message(agent.describe(now_ms()));
        }
        for (slot, bar) in view.slots.iter().zip(&self.slots) {
            match slot {
                SlotView::Running {
                    experiment,
                    attempt,
                    since,
                    progress,
                    objective,
                } => {
                    let (epoch, epochs) = progress.unwrap_or((0, 1));
                    bar.set_length(u64::from(epochs.max(1)));
                    bar.set_position(u64::from(epoch));
                    let objective =
                        objective.map_or_else(String::new, |value| format!("  {value:.4}"));
                    let attempt = if *attempt > 1 {
                        format!("  attempt {attempt}")
                    } else {
                        String::new()
                    };
                    bar.set_message(format!(
                        "{experiment}  epoch {epoch}/{epochs}  {}{objective}{attempt}",
                        duration(since.elapsed())
                    ));
                }
                idle => {
                    bar.set_position(0);
                    bar.set_message(match idle {
                        SlotView::Loading => "loading data",
                        SlotView::Ready => "ready",
                        SlotView::Quarantined => "taken out after repeated faults",
                        _ => "starting",
                    });
                }
            }
        }
    }

    fn clear(self) {
        let above = self
            .agents
            .iter()
            .chain([&self.search, &self.best, &self.overall]);
        for bar in self.slots.iter().chain(above) {
            bar.finish_and_clear();
        }
    }
}

/// What waits, and why.
fn paused(view: &View) -> String {
    let pauses = [
        ("PROPOSALS PAUSED", &view.pauses.proposals),
        ("NOTHING IS STARTED", &view.pauses.leases),
    ];
    let texts = pauses.iter().filter_map(|(what, why)| {
        let why = why.as_ref()?;
        Some(format!("  {what}: {why}"))
    });
    texts.collect()
}

fn best(view: &View, goal: &Goal, space: &Space) -> String {
    let figures = &view.figures;
    let failed = if figures.counts.failed > 0 {
        format!("  {} failed", figures.counts.failed)
    } else {
        String::new()
    };
    let rejected = if view.rejected > 0 {
        format!("  {} rejected", view.rejected)
    } else {
        String::new()
    };
    let tried = figures.cells.iter();
    let graphs = tried.filter(|cell| space.is_graph_cell(&cell.cell)).count();
    let beyond = if graphs > 0 {
        format!(" and {graphs} with graphs")
    } else {
        String::new()
    };
    match &figures.best {
        Some(best) => format!(
            "best {} {:.4} ({})  {} of {} cells tried{beyond}{failed}{rejected}",
            goal.objective,
            best.objective,
            best.id,
            figures.cells.len() - graphs,
            cells(space, &figures.cell_dimensions),
        ),
        None => format!("no result yet{failed}{rejected}"),
    }
}

fn cells(space: &Space, dimensions: &[String]) -> usize {
    dimensions
        .iter()
        .filter_map(|name| space.position(name))
        .filter_map(|position| space.dimensions[position].domain.choices())
        .product()
}

fn summary(view: &View, goal: &Goal, began: Instant, space: &Space) -> String {
    let counts = view.figures.counts;
    let of = goal
        .experiments
        .map_or_else(String::new, |limit| format!("/{limit}"));
    format!(
        "{}: {}{of} finished, {} running, {} queued, {}; {}",
        goal.campaign,
        counts.finished(),
        view.running(),
        view.queued(),
        best(view, goal, space),
        eta(view, goal, began)
    )
}

#[allow(clippy::cast_precision_loss)]
fn eta(view: &View, goal: &Goal, began: Instant) -> String {
    let finished = view.figures.counts.finished() as u64;
    let elapsed = began.elapsed();
    let Some(limit) = goal.experiments else {
        return format!("running for {}", duration(elapsed));
    };
    let left = limit.saturating_sub(finished);
    if view.finished_now < 3 || left == 0 {
        return duration(elapsed);
    }
    let each = elapsed.as_secs_f64() / view.finished_now as f64;
    let left = Duration::from_secs_f64(each * left as f64);
    format!("{}, about {} left", duration(elapsed), duration(left))
}

/// A path as a person standing in the current folder would write it.
pub fn shown(path: &Path) -> String {
    std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// `7 s`, `3 min 12 s`, `5 h 03 min`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let texts = [7, 192, 18_180].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(texts, ["7 s", "3 min 12 s", "5 h 03 min"]);
    }
}
