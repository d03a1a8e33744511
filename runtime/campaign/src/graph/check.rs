//! From a graph that somebody wrote to one that can be built: names, order, shapes, cost.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::shape::{Inference, Shape};
use super::trainable::{Trainable, trainables};
use super::{
    Graph, GraphError, GraphErrorKind, INPUT, MAX_DEPTH, MAX_INPUTS, MAX_NODES, Node, cost,
};
use crate::error::nearest;

/// The longest name of a node.
const MAX_NAME: usize = 120;

/// What an encoder may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphBudget {
    /// Trainable numbers.
    pub max_parameters: u64,
    /// Floating-point operations of a forward pass over one clip; two for a multiply-add.
    pub max_flops_per_clip: u64,
    /// Frames of that clip.
    pub frames: u32,
}

/// What an encoder costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Trainable numbers.
    pub parameters: u64,
    /// Floating-point operations of a forward pass over one clip; two for a multiply-add.
    pub flops_per_clip: u64,
}

/// A graph whose every shape fits, and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedGraph {
    graph: Graph,
    dim: u32,
    /// Positions of nodes, in an order in which each comes after its inputs.
    order: Vec<usize>,
    /// By position: where its inputs stand; `None` is the graph's input.
    inputs: Vec<Vec<Option<usize>>>,
    shapes: Vec<Shape>,
    output: Option<usize>,
    cost: Cost,
}

/// A node of a checked graph.
#[derive(Debug, Clone, Copy)]
pub struct CheckedNode<'a> {
    /// Its place in the list of nodes.
    pub position: usize,
    /// What was written.
    pub node: &'a Node,
    /// The places of its inputs; `None` is the graph's input.
    pub inputs: &'a [Option<usize>],
    /// The shape of its result.
    pub shape: &'a Shape,
}

impl Graph {
    /// Checks the graph as an encoder of frames of width `dim`.
    ///
    /// # Errors
    /// A [`GraphError`] that names the first node with a mistake.
    pub fn check(&self, dim: u32, budget: &GraphBudget) -> Result<CheckedGraph, GraphError> {
        let inputs = self.resolve()?;
        let order = self.order(&inputs)?;
        let output = self.output(&inputs)?;
        self.within_depth(&order, &inputs)?;
        let frames = Shape::Frames {
            resolution: 1,
            width: dim,
        };
        let mut shapes: Vec<Option<Shape>> = vec![None; self.nodes.len()];
        let mut names = HashSet::new();
        let mut sum = Cost::default();
        for &position in &order {
            let node = &self.nodes[position];
            // Every input of a node stands before it.
            let given: Vec<&Shape> = inputs[position]
                .iter()
                .map(|&input| input.map_or(&frames, |i| shapes[i].as_ref().unwrap_or(&frames)))
                .collect();
            let inference = Inference {
                node,
                inputs: &given,
            };
            let shape = inference.shape()?;
            let flops = cost::flops(&node.op, &given, &shape, budget.frames);
            for tensor in trainables(node, &given, &shape) {
                sum.parameters = sum.parameters.saturating_add(tensor.count());
                if !names.insert(tensor.name.clone()) {
                    let message = format!("two nodes have a parameter `{}`", tensor.name);
                    let kind = GraphErrorKind::DuplicateName;
                    return Err(GraphError::new(&node.name, kind, message));
                }
            }
            let flops = u64::try_from(flops).unwrap_or(u64::MAX);
            sum.flops_per_clip = sum.flops_per_clip.saturating_add(flops);
            within(budget, sum, node)?;
            shapes[position] = Some(shape);
        }
        let shapes: Vec<Shape> = shapes.into_iter().flatten().collect();
        let found = output.map_or(&frames, |position| &shapes[position]);
        if *found != frames {
            let message = format!("is the output, but is {found}; the encoder must give {frames}");
            let kind = GraphErrorKind::BadOutput;
            return Err(GraphError::new(&self.output, kind, message).hint(format!(
                "end with `{{op: linear, out: {dim}}}`, at resolution 1"
            )));
        }
        Ok(CheckedGraph {
            graph: self.clone(),
            dim,
            order,
            inputs,
            shapes,
            output,
            cost: sum,
        })
    }

    /// Positions by name; the inputs of each node as positions.
    fn resolve(&self) -> Result<Vec<Vec<Option<usize>>>, GraphError> {
        if let Some(node) = self.nodes.get(MAX_NODES) {
            let message = format!(
                "the graph has {} nodes, at most {MAX_NODES}",
                self.nodes.len()
            );
            let kind = GraphErrorKind::TooManyNodes;
            return Err(GraphError::new(&shown(&node.name), kind, message));
        }
        let mut positions = HashMap::with_capacity(self.nodes.len());
        for (position, node) in self.nodes.iter().enumerate() {
            let wrong = |kind, message: &str| GraphError::new(&shown(&node.name), kind, message);
            if node.name == INPUT {
                return Err(wrong(
                    GraphErrorKind::DuplicateName,
                    "`x` is the input's name",
                ));
            }
            if !is_name(&node.name) {
                return Err(
                    wrong(GraphErrorKind::BadName, "can't be the name of a node").hint(
                        "lower-case letters, digits and `_`, with `.` between parts, at most 120",
                    ),
                );
            }
            if positions.insert(node.name.as_str(), position).is_some() {
                return Err(wrong(
                    GraphErrorKind::DuplicateName,
                    "the name is used twice",
                ));
            }
        }
        let place = |node: &Node, input: &String| {
            if input == INPUT {
                return Ok(None);
            }
            positions
                .get(input.as_str())
                .copied()
                .map(Some)
                .ok_or_else(|| {
                    let kind = GraphErrorKind::UnknownInput(input.clone());
                    let message = format!("reads `{}`, which is no node", shown(input));
                    nearest_hint(
                        GraphError::new(&node.name, kind, message),
                        input,
                        &positions,
                    )
                })
        };
        let inputs = self.nodes.iter().map(|node| {
            if node.inputs.len() > MAX_INPUTS {
                let kind = GraphErrorKind::WrongInputs(node.inputs.len());
                let message = format!("has {} inputs", node.inputs.len());
                return Err(GraphError::new(&node.name, kind, message));
            }
            node.inputs.iter().map(|input| place(node, input)).collect()
        });
        inputs.collect()
    }

    /// An order in which each node comes after its inputs: as they were written, where that is one.
    fn order(&self, inputs: &[Vec<Option<usize>>]) -> Result<Vec<usize>, GraphError> {
        let mut readers = vec![Vec::new(); inputs.len()];
        let mut waits: Vec<usize> = vec![0; inputs.len()];
        for (position, inputs) in inputs.iter().enumerate() {
            for &input in inputs.iter().flatten() {
                readers[input].push(position);
                waits[position] += 1;
            }
        }
        let ready = waits.iter().enumerate().filter(|(_, waits)| **waits == 0);
        let mut ready: BinaryHeap<Reverse<usize>> =
            ready.map(|(position, _)| Reverse(position)).collect();
        let mut order = Vec::with_capacity(inputs.len());
        while let Some(Reverse(position)) = ready.pop() {
            order.push(position);
            for &reader in &readers[position] {
                waits[reader] -= 1;
                if waits[reader] == 0 {
                    ready.push(Reverse(reader));
                }
            }
        }
        let Some(start) = waits.iter().position(|&waits| waits > 0) else {
            return Ok(order);
        };
        // From any node that waits, always to an input that waits: this must come to a node again.
        let (mut path, mut seen) = (Vec::new(), HashMap::new());
        let mut at = start;
        while !seen.contains_key(&at) {
            seen.insert(at, path.len());
            path.push(at);
            let waiting = |&&input: &&usize| waits[input] > 0;
            at = inputs[at]
                .iter()
                .flatten()
                .find(waiting)
                .copied()
                .unwrap_or(at);
        }
        let circle = &mut path[seen[&at]..];
        circle.reverse();
        let first = circle
            .iter()
            .enumerate()
            .min_by_key(|(_, position)| **position);
        circle.rotate_left(first.map_or(0, |(index, _)| index));
        let name = |&position: &usize| self.nodes[position].name.clone();
        let names: Vec<String> = circle.iter().map(name).collect();
        let node = names[0].clone();
        let circle = [&names[..], &names[..1]].concat().join("` → `");
        let message = format!("it reads its own result: `{circle}`");
        Err(GraphError::new(&node, GraphErrorKind::Cycle(names), message)
            .hint("a graph has no loops; memory over time is `scalar_memory`, `matrix_memory`, `retention` or `selective_scan`"))
    }

    /// No more than [`MAX_DEPTH`] nodes may stand one after another.
    fn within_depth(
        &self,
        order: &[usize],
        inputs: &[Vec<Option<usize>>],
    ) -> Result<(), GraphError> {
        let mut depths = vec![0; order.len()];
        for &position in order {
            let before = inputs[position].iter().flatten();
            depths[position] = before.map(|&input| depths[input]).max().unwrap_or(0) + 1;
            if depths[position] > MAX_DEPTH {
                let message = format!("{MAX_DEPTH} nodes stand one after another before it");
                let name = &self.nodes[position].name;
                return Err(GraphError::new(name, GraphErrorKind::TooDeep, message)
                    .hint("fewer layers, or branches side by side"));
            }
        }
        Ok(())
    }

    /// The output's place; every node must lead to it.
    fn output(&self, inputs: &[Vec<Option<usize>>]) -> Result<Option<usize>, GraphError> {
        let output = if self.output == INPUT {
            None
        } else {
            let found = self.nodes.iter().position(|node| node.name == self.output);
            let missing = || {
                let name = shown(&self.output);
                let message = "is named as the output, but is no node";
                GraphError::new(&name, GraphErrorKind::BadOutput, message)
            };
            Some(found.ok_or_else(missing)?)
        };
        let mut used = vec![false; inputs.len()];
        let mut open: Vec<usize> = output.into_iter().collect();
        while let Some(position) = open.pop() {
            if !std::mem::replace(&mut used[position], true) {
                open.extend(inputs[position].iter().flatten());
            }
        }
        match used.iter().position(|used| !used) {
            None => Ok(output),
            Some(position) => {
                let message =
                    "the output does not depend on it; what does nothing must not be scored";
                let node = &self.nodes[position].name;
                Err(GraphError::new(node, GraphErrorKind::Unused, message)
                    .hint("remove it, or let a node that leads to the output read it"))
            }
        }
    }
}

impl CheckedGraph {
    /// What was checked.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Width of the input and of the output.
    pub fn dim(&self) -> u32 {
        self.dim
    }

    /// What it costs.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// The place of the output among the nodes; `None` where the input is the output.
    pub fn output(&self) -> Option<usize> {
        self.output
    }

    /// The nodes in an order in which each comes after its inputs: as they were written, where that
    /// is one.
    pub fn in_order(&self) -> impl Iterator<Item = CheckedNode<'_>> {
        self.order.iter().map(|&position| self.node(position))
    }

    /// The nodes as they were written, which is the order in which parameters are made.
    pub fn as_written(&self) -> impl Iterator<Item = CheckedNode<'_>> {
        (0..self.shapes.len()).map(|position| self.node(position))
    }

    /// The trainable tensors of a node, in the order in which they are made.
    pub fn trainables(&self, node: &CheckedNode<'_>) -> Vec<Trainable> {
        let frames = Shape::Frames {
            resolution: 1,
            width: self.dim,
        };
        let shape = |&input: &Option<usize>| input.map_or(&frames, |i| &self.shapes[i]);
        let inputs: Vec<&Shape> = node.inputs.iter().map(shape).collect();
        trainables(node.node, &inputs, node.shape)
    }

    fn node(&self, position: usize) -> CheckedNode<'_> {
        CheckedNode {
            position,
            node: &self.graph.nodes[position],
            inputs: &self.inputs[position],
            shape: &self.shapes[position],
        }
    }
}

fn within(budget: &GraphBudget, sum: Cost, node: &Node) -> Result<(), GraphError> {
    let over = |what: &str, found: u64, most: u64, hint: &str| {
        let message = format!("with it the encoder has {found} {what}, more than {most}");
        GraphError::new(&node.name, GraphErrorKind::OverBudget, message).hint(hint)
    };
    // A sum that could not be counted is over every budget.
    if sum.parameters > budget.max_parameters || sum.parameters == u64::MAX {
        let hint = "fewer layers or smaller widths";
        return Err(over(
            "parameters",
            sum.parameters,
            budget.max_parameters,
            hint,
        ));
    }
    if sum.flops_per_clip > budget.max_flops_per_clip || sum.flops_per_clip == u64::MAX {
        let what = format!("operations a clip of {} frames", budget.frames);
        let hint = "fewer layers, smaller widths, or most of it at a coarser resolution";
        return Err(over(
            &what,
            sum.flops_per_clip,
            budget.max_flops_per_clip,
            hint,
        ));
    }
    Ok(())
}

/// Parts of lower-case letters, digits and `_`, joined by `.`.
fn is_name(name: &str) -> bool {
    let of_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(of_name);
    name.len() <= MAX_NAME && name.split('.').all(is_part)
}

/// A name that may be hostile, cut for a message.
fn shown(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

fn nearest_hint(error: GraphError, given: &str, positions: &HashMap<&str, usize>) -> GraphError {
    let given: String = given.chars().take(MAX_NAME).collect();
    let mut names: Vec<&str> = positions.keys().copied().chain([INPUT]).collect();
    names.sort_unstable();
    match nearest(&given, names.iter().copied()) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None if names.len() <= 12 => error.hint(format!("nodes: {}", names.join(", "))),
        None => error,
    }
}
