// What a copy of this kit consists of: for each file its path and its text. Whoever writes copies
// takes this in with `include!`; the paths to include are this file's own.
&[
    ("Cargo.toml", include_str!("Cargo.toml")),
    ("src/bindings.rs", include_str!("src/bindings.rs")),
    ("src/builder.rs", include_str!("src/builder.rs")),
    ("src/diversity.rs", include_str!("src/diversity.rs")),
    ("src/encoder.rs", include_str!("src/encoder.rs")),
    ("src/error.rs", include_str!("src/error.rs")),
    ("src/lib.rs", include_str!("src/lib.rs")),
    ("src/log.rs", include_str!("src/log.rs")),
    ("src/random.rs", include_str!("src/random.rs")),
    ("src/task.rs", include_str!("src/task.rs")),
    ("src/value.rs", include_str!("src/value.rs")),
    ("wit/plugin.wit", include_str!("wit/plugin.wit")),
    ("wit/deps/orze-diversity/diversity.wit", include_str!("wit/deps/orze-diversity/diversity.wit")),
    ("wit/deps/orze-encoder/encoder.wit", include_str!("wit/deps/orze-encoder/encoder.wit")),
    ("wit/deps/orze-host/host.wit", include_str!("wit/deps/orze-host/host.wit")),
    ("wit/deps/orze-task/task.wit", include_str!("wit/deps/orze-task/task.wit")),
    ("wit/deps/orze-types/types.wit", include_str!("wit/deps/orze-types/types.wit")),
]
