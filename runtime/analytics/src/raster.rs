//! Figures as pictures of pixels, for papers and mails that take no SVG.
//!
//! The fonts come with the program (DejaVu Sans Condensed), and nothing of the machine is read, so
//! a figure looks the same everywhere.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};

/// Pixels of the picture for one of the figure.
const SCALE: f32 = 2.0;

/// The largest picture that is made, in pixels of one side.
const LARGEST: f32 = 16_384.0;

/// The family by which the faces call themselves; that they are condensed stands apart from it.
const FAMILY: &str = "DejaVu Sans";

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(dejavu::sans_condensed::regular().to_vec());
    fonts.load_font_data(dejavu::sans_condensed::bold().to_vec());
    fonts.set_sans_serif_family(FAMILY);
    Arc::new(fonts)
});

/// The figure as a PNG of twice its size in pixels, on its own background.
///
/// # Errors
/// Why the figure is none, in words.
pub fn png(svg: &str) -> Result<Vec<u8>, String> {
    let options = usvg::Options {
        font_family: FAMILY.to_owned(),
        fontdb: Arc::clone(&FONTS),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let size = tree.size();
    let scale = SCALE.min(LARGEST / size.width().max(size.height()));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let side = |length: f32| (length * scale).ceil().max(1.0) as u32;
    let (width, height) = (side(size.width()), side(size.height()));
    let mut picture = Pixmap::new(width, height)
        .ok_or_else(|| format!("a picture of {width} × {height} pixels is too large"))?;
    let transform = Transform::from_scale(scale, scale);
    resvg::render(&tree, transform, &mut picture.as_mut());
    picture.encode_png().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::{Paint, Svg, Type};

    fn picture(draw: impl Fn(&mut Svg)) -> Pixmap {
        let mut svg = Svg::new(60.0, "", false);
        draw(&mut svg);
        Pixmap::decode_png(&png(&svg.finish()).unwrap()).unwrap()
    }

    fn inked(picture: &Pixmap) -> usize {
        let is_ink = |pixel: &&resvg::tiny_skia::PremultipliedColorU8| pixel.red() < 128;
        picture.pixels().iter().filter(is_ink).count()
    }

    #[test]
    fn shapes_are_drawn_at_twice_the_size() {
        let square = picture(|svg| svg.rect(10.0, 10.0, 20.0, 20.0, Paint::Colour(0)));
        assert_eq!((square.width(), square.height()), (1920, 120));
        assert_eq!(inked(&square), 40 * 40);
        let corner = square.pixel(0, 0).unwrap();
        assert_eq!((corner.red(), corner.alpha()), (255, 255), "white paper");
    }

    /// Every sign that the figures use is in the font: a sign that is not is drawn as a box, which
    /// all such signs share.
    #[test]
    fn text_needs_no_font_of_the_machine() {
        let of = |text: &str| {
            let text = text.to_owned();
            picture(move |svg| svg.text(20.0, 40.0, &text, Type::LABEL.sized(20.0)))
        };
        let box_of = of("\u{10fffd}");
        for sign in "η²ω×–…→↓≤≥−αβκρχ±∅áöñ%$½".chars() {
            let drawn = of(&sign.to_string());
            assert!(inked(&drawn) > 10, "{sign} leaves a mark");
            assert_ne!(drawn.data(), box_of.data(), "{sign} is in the font");
        }
        let bold = picture(|svg| svg.text(20.0, 40.0, "n = 12", Type::LABEL.sized(20.0).bold()));
        assert!(inked(&bold) > inked(&of("n = 12")) * 11 / 10);
    }

    #[test]
    fn what_is_no_figure_is_said() {
        assert!(png("<svg").is_err());
        assert!(png("").is_err());
    }
}
