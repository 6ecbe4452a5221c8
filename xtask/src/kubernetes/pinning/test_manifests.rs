//! Random manifests for property tests: everything that YAML allows around an image.

/// Where an image stands in a manifest's template; one digit between them says whose it is.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

/// Whose images there are; the last one is foreign.
const OWNERS: &[Option<&str>] = &[Some("engine"), Some("ui"), None];

/// A manifest with places for images.
pub(crate) struct Manifest {
    template: String,
}

impl Manifest {
    /// The text, with `image` giving the reference for a component, or a foreign one for `None`.
    pub(crate) fn text(&self, image: impl Fn(Option<&'static str>) -> String) -> String {
        let mut text = self.template.clone();
        for (number, owner) in OWNERS.iter().enumerate() {
            text = text.replace(&place(number), &image(*owner));
        }
        text
    }

    /// How many images are of our components.
    pub(crate) fn ours(&self) -> usize {
        (0..OWNERS.len() - 1).map(|number| self.template.matches(&place(number)).count()).sum()
    }
}

fn place(owner: usize) -> String {
    format!("{OPEN}{owner}{CLOSE}")
}

/// The manifest of a seed.
pub(crate) fn manifest(seed: u64) -> Manifest {
    // A seed is mixed first: small ones would give similar starts.
    let mut writer = Writer {
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        text: String::new(),
        anchors: 0,
        keys: 0,
    };
    for _ in 0..8 {
        writer.random.next();
    }
    let documents = 1 + writer.random.below(4);
    for number in 0..documents {
        if number > 0 || writer.random.one_in(3) {
            let separator = writer.random.pick(&["---\n", "--- # next\n", "---\n\n"]);
            writer.text.push_str(separator);
        }
        writer.document();
    }
    let mut template = writer.text;
    let random = &mut writer.random;
    if random.one_in(4) {
        template = template.trim_end_matches('\n').to_owned();
    }
    if random.one_in(3) {
        template = template.replace('\n', "\r\n");
    }
    if random.one_in(5) {
        template.insert(0, '\u{feff}');
    }
    Manifest { template }
}

/// xorshift64*: the same numbers everywhere, and no crate for it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

struct Writer {
    random: Random,
    text: String,
    anchors: usize,
    keys: usize,
}

/// Values that a careless edit would trip over.
const VALUES: &[&str] = &[
    "plain",
    "'it''s # quoted'",
    "\"a \\\"b\\\" \\u00e4 # no comment\"",
    "ünï cödé",
    "'image: localhost:5000/demon-engine:no'",
    "12",
    "~",
    "[a, {b: c}, 'd, e']",
    "{image: left, list: [1, 2]}",
    "!!str 5",
    "a:b#c",
    "日本語 # 日本語",
    "\"two\n            lines\"",
    "|\n            image: localhost:5000/demon-engine:literal\n            containers: [{image: x}]",
    ">-\n            folded # no comment\n            image: y",
];
const COMMENTS: &[&str] =
    &["", "", "", " # why", "   # image: localhost:5000/demon-ui:comment", "  #\ttab", " # ünï", "  ", " # [{\"'"];
const WORKLOADS: &[&[&str]] = &[
    &["spec"],
    &["spec", "template", "spec"],
    &["spec", "jobTemplate", "spec", "template", "spec"],
    &["template", "spec"],
    &["whatever", "pod"],
];

impl Writer {
    fn document(&mut self) {
        self.lines_between();
        let is_list = self.random.one_in(5);
        if is_list {
            self.line(0, "kind: List");
            self.line(0, "items:");
            for _ in 0..1 + self.random.below(2) {
                self.line(2, "- kind: Item");
                self.workload(4);
            }
        } else {
            self.line(0, "kind: Workload");
            self.workload(0);
        }
        if self.random.one_in(6) {
            self.text.push_str("...\n");
        }
    }

    fn workload(&mut self, indent: usize) {
        self.entries(indent);
        let step = 1 + self.random.below(4);
        let mut indent = indent;
        for key in self.random.pick(WORKLOADS) {
            self.line(indent, &format!("{key}:"));
            indent += step;
            self.entries(indent);
        }
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            match self.random.below(3) {
                0 => self.flow_list(indent, list),
                1 => self.block_list(indent, list),
                _ => {}
            }
        }
    }

    fn block_list(&mut self, indent: usize, list: &str) {
        self.line(indent, &format!("{list}:"));
        // A sequence may stand right below its key.
        let indent = indent + if self.random.one_in(2) { 0 } else { 1 + self.random.below(3) };
        for _ in 0..1 + self.random.below(3) {
            let dash = self.random.pick(&["- ", "-   "]);
            let within = indent + dash.len();
            let image = self.image();
            let spaces = self.random.pick(&["", " ", "   "]);
            let key = self.random.pick(&["image", "'image'", "\"image\""]);
            if self.random.one_in(2) {
                self.line(indent, &format!("{dash}{key}:{spaces} {image}"));
                self.entries(within);
            } else {
                self.line(indent, &format!("{dash}name: x"));
                self.entries(within);
                self.line(within, &format!("{key}:{spaces} {image}"));
            }
        }
    }

    fn flow_list(&mut self, indent: usize, list: &str) {
        let mut containers = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let image = self.image();
            containers.push(match self.random.below(4) {
                0 => format!("{{image: {image}}}"),
                1 => format!("{{ name: 'a, b', image: {image} , args: [\"}}\", x] }}"),
                2 => format!("{{\"image\": {image}, ports: []}}"),
                _ => format!("{{name: n,\n{:indent$}  image: {image},\n{:indent$}  x: y}}", "", ""),
            });
        }
        let separator = self.random.pick(&[", ", ",", " , "]);
        if self.random.one_in(3) {
            // Indented no deeper than its key, as people write it, though YAML 1.2 forbids it.
            let lines = containers.join(&format!(",\n{:indent$}", ""));
            self.line(indent, &format!("{list}: [\n{:indent$}{lines}\n{:indent$}]", "", ""));
        } else {
            self.line(indent, &format!("{list}: [{}]", containers.join(separator)));
        }
    }

    /// A place for an image, in some quotes.
    fn image(&mut self) -> String {
        let place = place(self.random.below(OWNERS.len()));
        let quote = self.random.pick(&["", "'", "\""]);
        format!("{quote}{place}{quote}")
    }

    /// Entries that have nothing to do with images.
    fn entries(&mut self, indent: usize) {
        for _ in 0..self.random.below(3) {
            // No key comes twice.
            self.keys += 1;
            let number = self.keys;
            match self.random.below(8) {
                0 => {
                    self.anchors += 1;
                    let anchor = format!("a{}", self.anchors);
                    self.line(indent, &format!("anchored{number}a: &{anchor} {{x: 1, y: [2]}}"));
                    self.line(indent, &format!("aliased{number}b: *{anchor}"));
                }
                1 => self.lines_between(),
                _ => {
                    let value = self.random.pick(VALUES);
                    // Further lines of a value are indented deeper than any key.
                    let value = value.replace("            ", &" ".repeat(indent + 14));
                    let comment = !value.contains('\n');
                    self.push(indent, &format!("key{number}: {value}"), comment);
                }
            }
        }
    }

    fn lines_between(&mut self) {
        for _ in 0..self.random.below(3) {
            let line = self.random.pick(&["\n", "# comment\n", "   # image: x\n", "#image: y # z\n"]);
            self.text.push_str(line);
        }
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.push(indent, text, true);
    }

    fn push(&mut self, indent: usize, text: &str, comment: bool) {
        let comment = if comment { self.random.pick(COMMENTS) } else { "" };
        self.text.push_str(&format!("{:indent$}{text}{comment}\n", ""));
    }
}
