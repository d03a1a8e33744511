//! What the contracts share, generated from their WIT.

wit_bindgen::generate!({
    path: "wit",
    inline: "
        package orze:sdk@1.0.0;
        world shared {
            import orze:types/types@1.0.0;
            import orze:host/log@1.0.0;
            import orze:host/random@1.0.0;
        }
    ",
    world: "orze:sdk/shared",
    generate_all,
    additional_derives: [PartialEq],
});
