#pragma once
#include <string>
#include <string_view>
#include <vector>

/// A figure as a list of shapes: laid out once by a pure function, painted by the window, the SVG
/// writer and the software painter, and looked at by tests. Every length is in em, the height of
/// body text; y grows downwards. Colours are roles, not colours: a theme turns them into colours.

namespace tplan {

/// What a colour stands for (app/figures/theme.h has the values).
enum class Role {
    none,
    background,
    panel,
    text,
    muted,
    outline,
    grid,
    replicated,
    idle,
    compute,
    collective,
    launch,
    weights,
    kv_cache,
    activations,
    buffers,
    nvlink,
    pcie,
    shared_memory,
    ideal,
    measured,
    good,
    warning,
    error,
    selection,
    on_compute,  // text on a fill of that role
    rank,
    on_rank  // text on a fill of that rank
};

/// A role; of Role::rank also which. `opacity` from 0 to 1.
struct Ink {
    Role role = Role::none;
    int rank = 0;
    double opacity = 1;
    bool operator==(const Ink&) const = default;
};
Ink rank_ink(int rank);

/// Drawn over the fill in the outline colour: what a figure says without colour.
enum class Pattern { none, hatch, cross, dots };

struct Point {
    double x = 0, y = 0;
    bool operator==(const Point&) const = default;
};

/// `x`, `y` is the top left corner.
struct Box {
    double x = 0, y = 0, width = 0, height = 0;
    double right() const { return x + width; }
    double bottom() const { return y + height; }
    Point centre() const { return {x + width / 2, y + height / 2}; }
    bool operator==(const Box&) const = default;
};
/// Whether the interiors overlap by more than `slack` em in both directions.
bool overlap(const Box& a, const Box& b, double slack = 0.01);
bool contains(const Box& outer, const Box& inner, double slack = 0.01);

enum class ShapeKind { rect, ellipse, polyline, polygon, text };
enum class Anchor { start, middle, end };

struct Shape {
    ShapeKind kind = ShapeKind::rect;
    std::string id{};             // what it stands for, unique in its list; empty = decoration
    std::string title{};          // what a tooltip says, lines apart by '\n'
    Box box{};                    // extent of every kind; of text as the metrics have it
    std::vector<Point> points{};  // polyline, polygon
    Ink fill{}, stroke{};
    double stroke_width = 0.06;
    bool dashed = false;
    Pattern pattern = Pattern::none;
    std::string text{};
    double size = 1;                // of the text
    Anchor anchor = Anchor::start;  // where a painter with another font pins it
    bool bold = false;
    bool operator==(const Shape&) const = default;
};

struct DisplayList {
    std::string name;   // "shard-map": prefix of ids where several figures share a page
    std::string title;  // for a reader who cannot see it, one sentence each
    std::string description;
    double width = 0, height = 0;
    std::vector<Shape> shapes;
    bool operator==(const DisplayList&) const = default;
};

/// Advance widths of printable ASCII in em, for text without a font library. The standard table
/// holds those of DejaVu Sans, the widest of the usual screen fonts: text measured with it fits in
/// any of them. The window fills one from the font it has loaded.
struct TextMetrics {
    std::vector<double> advance;  // of ' ' to '~'
    double other = 0.84;          // of any other character
    double bold = 1.12;           // factor for bold text
};
const TextMetrics& standard_metrics();
double text_width(const TextMetrics& metrics, std::string_view text, double size,
                  bool bold = false);

/// `text` cut to `width` em with ".." at its end; at least "..".
std::string fitted(const TextMetrics& metrics, std::string_view text, double size, double width,
                   bool bold = false);

/// `text` broken at spaces into lines of at most `width` em; a longer word stands alone.
std::vector<std::string> wrapped(const TextMetrics& metrics, std::string_view text, double size,
                                 double width);

/// Height of a line of text of a size, and how far its baseline lies below its top.
double line_height(double size);
double baseline(double size);

// Builders: each appends one shape and returns it for what else it needs.
Shape& add_rect(DisplayList& list, const Box& box, Ink fill, Ink stroke = {});
Shape& add_ellipse(DisplayList& list, const Box& box, Ink fill, Ink stroke = {});
Shape& add_line(DisplayList& list, Point from, Point to, Ink stroke, double width = 0.06);
Shape& add_polyline(DisplayList& list, std::vector<Point> points, Ink stroke, double width = 0.1);
Shape& add_polygon(DisplayList& list, std::vector<Point> points, Ink fill, Ink stroke = {});

/// Text whose line starts, is centred or ends at `at.x` and whose top is `at.y`.
Shape& add_text(DisplayList& list, const TextMetrics& metrics, Point at, std::string_view text,
                double size = 1, Anchor anchor = Anchor::start, Ink ink = {Role::text},
                bool bold = false);

/// The shape of that id, or nullptr.
const Shape* find_shape(const DisplayList& list, std::string_view id);

/// The last shape with an id whose box holds the point, or nullptr: what lies under the pointer.
const Shape* shape_at(const DisplayList& list, Point at);

/// Grows width and height to what the shapes need, with `margin` em to the right and below.
void fit_to_shapes(DisplayList& list, double margin = 0.5);

}  // namespace tplan
