//! Ideas to spoil, and the ways in which a list of them can be written down.

use orze_campaign::{Idea, Point, Priority, Space, Value};

/// The paper's space.
pub fn space() -> Space {
    Space::parse(include_str!("../../../../configs/spaces/nexar.yaml")).unwrap()
}

/// An idea and its text, key by key: how YAML and how JSON write each value.
#[derive(Clone)]
pub struct Draft {
    pub idea: Idea,
    pub lines: Vec<Line>,
}

#[derive(Clone)]
pub struct Line {
    pub key: String,
    pub yaml: String,
    pub json: String,
}

impl Line {
    pub fn new(key: &str, yaml: &str, json: &str) -> Self {
        Self {
            key: key.to_owned(),
            yaml: yaml.to_owned(),
            json: json.to_owned(),
        }
    }
}

/// A valid idea; no two numbers give nearly the same one.
pub fn draft(space: &Space, number: usize) -> Draft {
    let coordinates = space.dimensions.iter().enumerate();
    let point = coordinates
        .map(|(axis, dimension)| {
            let mixed = (number * 7 + axis * 13 + number * axis * 5) % 97;
            match dimension.domain.choices() {
                // Each second idea has the focal loss, so that conditions are seen both ways.
                _ if dimension.name == "loss" => [0.0, 1.0, 0.0, 2.0][number % 4],
                Some(choices) => (mixed % choices) as f64,
                None => mixed as f64 / 97.0,
            }
        })
        .collect();
    let configuration = space.decode(&Point(point));
    let idea = Idea {
        name: format!("Idea {number}: the {number}th try"),
        configuration,
        priority: [Priority::Low, Priority::Normal, Priority::High][number % 3],
        rationale: Some(format!("Because {number} \"was\" never tried, it's new.")),
        graph: None,
    };
    let mut lines = vec![quoted("idea_name", &idea.name)];
    for dimension in &space.dimensions {
        match idea.configuration.get(&dimension.name) {
            Some(Value::Text(text)) => {
                lines.push(Line::new(&dimension.name, text, &format!("\"{text}\"")));
            }
            Some(value) => {
                let text = value.to_string();
                lines.push(Line::new(&dimension.name, &text, &text));
            }
            None => {}
        }
    }
    lines.push(quoted("priority", idea.priority.name()));
    lines.push(quoted("rationale", idea.rationale.as_deref().unwrap()));
    Draft { idea, lines }
}

fn quoted(key: &str, text: &str) -> Line {
    let json = serde_json::to_string(text).unwrap();
    Line::new(key, &json, &json)
}

impl Draft {
    pub fn line(&mut self, key: &str) -> &mut Line {
        self.lines.iter_mut().find(|line| line.key == key).unwrap()
    }

    pub fn set(&mut self, key: &str, yaml: &str, json: &str) {
        let line = self.line(key);
        line.yaml = yaml.to_owned();
        line.json = json.to_owned();
    }

    /// Adds a line before the rationale.
    pub fn add(&mut self, key: &str, yaml: &str, json: &str) {
        let at = self.lines.len() - 1;
        self.lines.insert(at, Line::new(key, yaml, json));
    }

    pub fn remove(&mut self, key: &str) {
        self.lines.retain(|line| line.key != key);
    }

    /// The map as YAML at the left edge.
    pub fn yaml(&self) -> String {
        let lines = self.lines.iter();
        lines
            .map(|line| format!("{}: {}\n", line.key, line.yaml))
            .collect()
    }

    /// The map as a JSON object over several lines.
    pub fn json(&self) -> String {
        let lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| format!("    \"{}\": {}", line.key, line.json))
            .collect();
        format!("{{\n{}\n  }}", lines.join(",\n"))
    }
}

/// A way to write down a list of maps.
pub struct Container {
    pub name: &'static str,
    pub write: fn(&[String]) -> String,
    /// Whether something that is no map can stand in it.
    pub is_list: bool,
}

fn indent(text: &str, first: &str, rest: &str) -> String {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| match (index, line) {
            (0, _) => format!("{first}{line}\n"),
            (_, "") => "\n".to_owned(),
            _ => format!("{rest}{line}\n"),
        })
        .collect()
}

fn items(maps: &[String], first: &str, rest: &str) -> String {
    maps.iter().map(|map| indent(map, first, rest)).collect()
}

/// Ways to write YAML.
pub const YAML: &[Container] = &[
    list("bare", |maps| items(maps, "- ", "  ")),
    list("no newline at the end", |maps| {
        items(maps, "- ", "  ").trim_end().to_owned()
    }),
    list("blank lines between", |maps| items(maps, "\n- ", "  ")),
    list("under a key", |maps| {
        format!("ideas:\n{}", items(maps, "  - ", "    "))
    }),
    list("under a key, not indented, with keys around", |maps| {
        format!(
            "version: 1\nideas:\n{}summary: five ideas\n",
            items(maps, "- ", "  ")
        )
    }),
    list("fenced", |maps| {
        format!("```yaml\n{}```\n", items(maps, "- ", "  "))
    }),
    list("fenced in prose", |maps| {
        format!(
            "Sure! Some thoughts:\n\n- The board is led by one cell.\n- loss: focal wins so far.\n\n```yml\n{}```\n\nI hope that these help: good luck!\n",
            items(maps, "- ", "  ")
        )
    }),
    list("fenced without a word, indented", |maps| {
        format!(
            "Here:\n   ```\n{}   ```\nDone.",
            items(maps, "   - ", "     ")
        )
    }),
    list("tildes, never closed", |maps| {
        format!("~~~yaml\n{}", items(maps, "- ", "  "))
    }),
    list("a fence an idea", |maps| {
        let fences = maps.iter().enumerate();
        fences
            .map(|(index, map)| {
                format!(
                    "### Idea {index}\nSome words.\n```yaml\n{}```\n",
                    indent(map, "- ", "  ")
                )
            })
            .collect()
    }),
    map("a fenced map an idea", |maps| {
        maps.iter()
            .map(|map| format!("Next:\n\n```yaml\n{map}```\n"))
            .collect()
    }),
    list("in prose, no fence", |maps| {
        format!(
            "Here are the ideas:\n\n{}\nI chose them because: they differ.\n- Also note this.\n",
            items(maps, "- ", "  ")
        )
    }),
    map("documents", |maps| format!("---\n{}", maps.join("---\n"))),
    map("bare maps", |maps| maps.join("\n")),
    list("after thinking", |maps| {
        format!(
            "<think>\nPerhaps\n- idea_name: a thought\n  loss: bce\n```yaml\n</think>\n\n{}",
            items(maps, "- ", "  ")
        )
    }),
    list("Windows line ends", |maps| {
        items(maps, "- ", "  ").replace('\n', "\r\n")
    }),
    list("tabs", |maps| items(maps, "-\t", "\t")),
    list("dash on its own line", |maps| items(maps, "-\n  ", "  ")),
    list("numbered", |maps| items(maps, "1. ", "   ")),
    list("uneven", |maps| {
        let maps = maps.iter().enumerate();
        maps.map(|(index, map)| {
            let pad = " ".repeat(index % 3);
            indent(map, &format!("{pad}- "), &format!("{pad}  "))
        })
        .collect()
    }),
];

/// Ways to write JSON.
pub const JSON: &[Container] = &[
    list("structured", |maps| {
        format!("{{\"ideas\": [{}]}}", maps.join(", "))
    }),
    list("structured, with more keys", |maps| {
        format!(
            "{{\n  \"analysis\": \"focal {{leads}}\",\n  \"ideas\": [\n  {}\n  ]\n}}\n",
            maps.join(",\n  ")
        )
    }),
    list("on one line", |maps| {
        format!("{{\"ideas\": [{}]}}", maps.join(", ")).replace('\n', "")
    }),
    list("bare list", |maps| {
        format!("[\n  {}\n]", maps.join(",\n  "))
    }),
    list("fenced", |maps| {
        format!(
            "Sure:\n```json\n{{\"ideas\": [\n  {}\n]}}\n```\nDone.",
            maps.join(",\n  ")
        )
    }),
    list("fenced list without a word", |maps| {
        format!("```\n[{}]\n```", maps.join(","))
    }),
    list("in a line of prose", |maps| {
        format!(
            "Here [as asked] they are: {{\"ideas\": [{}]}} - good luck!",
            maps.join(", ")
        )
    }),
    map("one after the other", |maps| maps.join("\n")),
    list("comma at the end", |maps| {
        format!("[{},]", maps.join(",\n"))
    }),
];

const fn list(name: &'static str, write: fn(&[String]) -> String) -> Container {
    Container {
        name,
        write,
        is_list: true,
    }
}

const fn map(name: &'static str, write: fn(&[String]) -> String) -> Container {
    Container {
        name,
        write,
        is_list: false,
    }
}
