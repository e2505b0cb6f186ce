#pragma once
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

/// How a tensor lies over the ranks: replicated, split along one dimension, or a partial sum. The
/// arithmetic of slices has its one home here; planner, executor, cost model and figures all call
/// it.

namespace tplan {

enum class SplitKind {
    whole,   // every rank holds all of it
    chunk,   // torch.chunk: ceil(n / parts) each, a short tail, then empty ranks
    packed,  // each of `blocks` halves cut separately into floor(n / blocks / parts); tail rows are
             // lost (see Violation)
    grouped,  // whole groups of `unit`: ceil-chunked while there are enough, copied when parts pass
              // the groups (KV heads)
    balanced,  // whole units of `unit` (the last may be short), as even as they go: no rank has two
               // more than another; or in proportion to `shares`
    covering,  // KV heads of `unit`, `blocks` query heads each: those that the rank's balanced
               // share of the query heads reads; one piece per KV head, copied where a boundary
               // crosses it
    qkv,  // [Q|K|V] in one dimension: Q balanced by heads of `unit`, K and V covering (`blocks`
          // query heads per KV head)
};
constexpr auto enum_names(SplitKind) {
    return std::array<std::string_view, 7>{"whole",    "chunk",    "packed", "grouped",
                                           "balanced", "covering", "qkv"};
}

/// Unequal shares of a group of two kinds of device: each of the first `ranks` ranks takes `first`
/// parts of what is cut, each other rank `rest`.
struct Shares {
    int ranks = 1;
    int first = 1, rest = 1;

    static void fields(auto& self, auto&& field) {
        field("ranks", self.ranks);
        field("first", self.first);
        field("rest", self.rest);
    }
    bool operator==(const Shares&) const = default;
};

/// Some neighbouring ranks of a group; as it stands all of them.
struct RankRange {
    int begin = 0, end = std::numeric_limits<int>::max();
    bool operator==(const RankRange&) const = default;
};

/// A cut of one dimension into `parts`.
struct Split {
    SplitKind kind = SplitKind::whole;
    int dim = 0;     // which dimension of the tensor; of activations 0 rows (tokens), 1 columns
    int parts = 1;   // ranks
    int blocks = 2;  // packed: how many halves; covering, qkv: query heads per KV head
    /// Extent of what stays together; packed: halves are balanced by it when it is above 1, so that
    /// no row is lost.
    std::int64_t unit = 1;
    /// balanced, covering, qkv, and packed with a unit above 1: how many units each rank has;
    /// none: as even as they go.
    std::optional<Shares> shares{};

    static void fields(auto& self, auto&& field) {
        field("kind", self.kind);
        field("dim", self.dim);
        field("parts", self.parts);
        field("blocks", self.blocks);
        field("unit", self.unit);
        field("shares", self.shares);
    }
    bool operator==(const Split&) const = default;
};

/// A half-open range of a dimension.
struct Slice {
    std::int64_t offset = 0;
    std::int64_t extent = 0;
    bool operator==(const Slice&) const = default;
};

/// What `rank` owns of a dimension of size `n`, in storage order: one slice, two when packed, none
/// when empty. Requires 0 <= rank < split.parts.
std::vector<Slice> slices(const Split& split, std::int64_t n, int rank);

/// Total extent of `slices`: the local size.
std::int64_t local_extent(const Split& split, std::int64_t n, int rank);

/// The largest local size over the ranks: what the slowest of equal devices computes. Of all ranks
/// every kind but covering and qkv gives it to rank 0, unless the shares are unequal.
std::int64_t largest_extent(const Split& split, std::int64_t n, RankRange ranks = {});

enum class LayoutKind { replicated, split, partial };
constexpr auto enum_names(LayoutKind) {
    return std::array<std::string_view, 3>{"replicated", "split", "partial"};
}

/// Where an activation [rows, width] stands between two ops. `split` counts only for
/// LayoutKind::split.
struct Layout {
    LayoutKind kind = LayoutKind::replicated;
    Split split;

    static Layout replicated() { return {}; }
    static Layout partial() { return {LayoutKind::partial, {}}; }
    static Layout columns(Split how) {
        how.dim = 1;
        return {LayoutKind::split, how};
    }
    /// Every rank has its own rows: sequence parallelism. Ranks past the rows have none.
    static Layout tokens(int parts) {
        return {LayoutKind::split, {.kind = SplitKind::chunk, .dim = 0, .parts = parts}};
    }
    bool splits_rows() const { return kind == LayoutKind::split && split.dim == 0; }
    bool splits_columns() const { return kind == LayoutKind::split && split.dim != 0; }

    static void fields(auto& self, auto&& field) {
        field("kind", self.kind);
        field("split", self.split);
    }
    bool operator==(const Layout&) const = default;
};

/// Columns of an activation of `width` columns that the fullest of the ranks holds.
std::int64_t largest_width(const Layout& layout, std::int64_t width, RankRange ranks = {});

}  // namespace tplan
