#include "executor/cpu/collectives.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <vector>

#include "executor/cpu/simd.h"

namespace tplan::cpu {
namespace {

/// Calls `f(row, column, count)` for the pieces of rows that the flat element range [begin, end) of
/// a [rows, columns] matrix consists of.
template <class F>
void for_pieces(std::int64_t columns, std::int64_t begin, std::int64_t end, const F& f) {
    for (std::int64_t at = begin; at < end;) {
        const auto row = at / columns;
        const auto column = at % columns;
        const auto count = std::min(columns - column, end - at);
        f(row, column, count);
        at += count;
    }
}

/// The part of `total` elements that a rank sums: whole cache lines of 16 floats.
std::int64_t part_begin(std::int64_t total, int rank, int ranks) {
    const auto lines = (total + 15) / 16;
    return std::min(total, lines * rank / ranks * 16);
}

std::size_t at(int rank) {
    return static_cast<std::size_t>(rank);
}

/// The same columns of every row of a peer's input.
void copy_columns(const SharedGroup::Views& from, std::int64_t from_column, const Matrix& to,
                  std::int64_t to_column, std::int64_t columns) {
    for (std::int64_t r = 0; r < to.rows; ++r) {
        std::copy_n(from.in + r * from.in_stride + from_column, columns, to.row(r) + to_column);
    }
}

/// Slices with the local column at which each begins.
struct LocalSlice {
    Slice slice;
    std::int64_t local = 0;
};
std::vector<LocalSlice> local_slices(const Split& split, std::int64_t width, int rank) {
    std::vector<LocalSlice> result;
    std::int64_t local = 0;
    for (const auto& slice : slices(split, width, rank)) {
        result.push_back({slice, local});
        local += slice.extent;
    }
    return result;
}

class SharedCommunicator final : public Communicator {
  public:
    SharedCommunicator(SharedGroup& group, int rank) : group_(group), rank_(rank) {}

    int rank() const override { return rank_; }
    int size() const override { return group_.ranks(); }

    double all_reduce(const Matrix& in, const Matrix& out, const CollectiveTag& tag) override {
        assert(in.rows == out.rows && in.columns == out.columns);
        if (in.elements() <= SharedGroup::kSlotFloats) return one_shot(in, out, tag);
        return two_shot(in, out, tag);
    }

    double all_gather(const Matrix& in, const Split& from, const Matrix& out,
                      const CollectiveTag& tag) override {
        return run(OpKind::all_gather, out.columns, in, out, tag, [&] {
            const std::vector<LocalSlice> all = {{{0, out.columns}, 0}};
            if (from.dim == 0) return pull_rows(from, out, all);
            pull(from, out.columns, out, all, 0);
        });
    }

    double reduce_scatter(const Matrix& in, const Matrix& out, const Split& to,
                          const CollectiveTag& tag) override {
        return run(OpKind::reduce_scatter, in.columns, in, out, tag, [&] {
            if (to.dim == 0) return sum_own_rows(to, in, out);
            for (const auto& own : local_slices(to, in.columns, rank_)) {
                for (std::int64_t r = 0; r < out.rows; ++r) {
                    float* const target = out.row(r) + own.local;
                    sum_rows(r, own.slice.offset, own.slice.extent, &target, 1);
                }
            }
        });
    }

    double all_to_all(const Matrix& in, const Split& from, const Matrix& out, const Split& to,
                      std::int64_t width, const CollectiveTag& tag) override {
        return run(OpKind::all_to_all, width, in, out, tag, [&] {
            if (from.dim == 0) return pull_rows(from, out, local_slices(to, width, rank_));
            if (to.dim != 0) return pull(from, width, out, local_slices(to, width, rank_), 0);
            const auto rows = slices(to, in.rows, rank_);
            if (!rows.empty()) pull(from, width, out, {{{0, width}, 0}}, rows.front().offset);
        });
    }

    double barrier(const CollectiveTag& tag, bool patient) override {
        return group_.start(rank_,
                            {SharedGroup::kBarrier, tag.index, 0, 0, tag.step, {}, {}, patient});
    }

    /// Piece by piece through the slots; the first piece begins with the length.
    std::vector<std::string> exchange(std::string_view own, const CollectiveTag& tag) override {
        constexpr std::size_t kPiece = SharedGroup::kSlotFloats * sizeof(float);
        std::string mine(sizeof(std::uint64_t), '\0');
        const std::uint64_t length = own.size();
        std::memcpy(mine.data(), &length, sizeof length);
        mine += own;
        std::vector<std::string> all(at(size()));
        std::vector<std::size_t> wanted(at(size()), sizeof length);
        const auto missing = [&] {
            for (std::size_t r = 0; r < all.size(); ++r) {
                if (all[r].size() < wanted[r]) return true;
            }
            return false;
        };
        for (std::size_t sent = 0; missing(); sent += kPiece) {
            const auto n = sent < mine.size() ? std::min(kPiece, mine.size() - sent) : 0;
            if (n > 0) std::memcpy(group_.own_values(rank_), mine.data() + sent, n);
            group_.start(rank_, {SharedGroup::kExchange, tag.index, 0, 0, tag.step, {}, {}});
            for (int r = 0; r < size(); ++r) {
                auto& theirs = all[at(r)];
                if (theirs.size() >= wanted[at(r)]) continue;
                theirs.append(reinterpret_cast<const char*>(group_.values(rank_, r)), kPiece);
                std::uint64_t whole = 0;
                std::memcpy(&whole, theirs.data(), sizeof whole);
                wanted[at(r)] = sizeof whole + whole;
            }
        }
        for (std::size_t r = 0; r < all.size(); ++r)
            all[r] = all[r].substr(sizeof length, wanted[r] - sizeof length);
        return all;
    }

    Trail& trail() override { return group_.trail(rank_); }
    std::vector<RankTrail> trails() const override {
        std::vector<RankTrail> all;
        for (int r = 0; r < size(); ++r) all.push_back({r, group_.trail(r).records()});
        return all;
    }

    void set_deadline(double seconds) override { group_.set_deadline(seconds); }
    void abort(const std::string& reason) noexcept override { group_.abort(reason); }
    std::string last_error() const override { return group_.last_error(); }

  private:
    SharedGroup::Call call(OpKind kind, std::int64_t width, const Matrix& in, const Matrix& out,
                           const CollectiveTag& tag) const {
        // Where rows are cut one side has all of them.
        const auto rows = std::max(in.rows, out.rows);
        return {static_cast<int>(kind), tag.index, rows, width, tag.step, in, out, false};
    }

    /// A call whose `work` reads or writes other ranks' buffers. Seconds waited.
    template <class Work>
    double run(OpKind kind, std::int64_t width, const Matrix& in, const Matrix& out,
               const CollectiveTag& tag, const Work& work) {
        const double waited = group_.start(rank_, call(kind, width, in, out, tag));
        work();
        group_.finish(rank_);
        return waited;
    }

    double one_shot(const Matrix& in, const Matrix& out, const CollectiveTag& tag) {
        float* own = group_.own_values(rank_);
        for (std::int64_t r = 0; r < in.rows; ++r) {
            std::copy_n(in.row(r), in.columns, own + r * in.columns);
        }
        const double waited =
            group_.start(rank_, call(OpKind::all_reduce, in.columns, in, out, tag));
        std::array<const float*, kMaxRanks> sources;
        for (std::int64_t r = 0; r < out.rows; ++r) {
            for (int peer = 0; peer < size(); ++peer) {
                sources[at(peer)] = group_.values(rank_, peer) + r * out.columns;
            }
            float* const to = out.row(r);
            simd().sum(sources.data(), size(), &to, 1, out.columns);
        }
        return waited;
    }

    double two_shot(const Matrix& in, const Matrix& out, const CollectiveTag& tag) {
        return run(OpKind::all_reduce, in.columns, in, out, tag, [&] {
            const auto begin = part_begin(in.elements(), rank_, size());
            const auto end = part_begin(in.elements(), rank_ + 1, size());
            // Where no rank has gaps between its rows, the part is one piece.
            bool flat = true;
            for (int peer = 0; peer < size(); ++peer) {
                const auto& theirs = group_.views(rank_, peer);
                flat = flat && theirs.in_stride == in.columns && theirs.out_stride == in.columns;
            }
            const auto columns = flat ? in.elements() : in.columns;
            for_pieces(columns, begin, end, [&](auto row, auto column, auto n) {
                std::array<float*, kMaxRanks> targets;
                for (int peer = 0; peer < size(); ++peer) {
                    const auto& theirs = group_.views(rank_, peer);
                    targets[at(peer)] = theirs.out + row * theirs.out_stride + column;
                }
                sum_rows(row, column, n, targets.data(), size());
            });
        });
    }

    /// Each of the targets[0..n) = sum over ranks, in rank order, of the same n columns of their
    /// inputs.
    void sum_rows(std::int64_t row, std::int64_t column, std::int64_t n, float* const* targets,
                  int count) const {
        std::array<const float*, kMaxRanks> sources;
        for (int peer = 0; peer < size(); ++peer) {
            const auto& theirs = group_.views(rank_, peer);
            sources[at(peer)] = theirs.in + row * theirs.in_stride + column;
        }
        simd().sum(sources.data(), size(), targets, count, n);
    }

    /// out = sum over ranks of the rows of `in` that are this rank's.
    void sum_own_rows(const Split& to, const Matrix& in, const Matrix& out) const {
        const auto own = slices(to, in.rows, rank_);
        for (std::int64_t r = 0; r < out.rows; ++r) {
            float* const row = out.row(r);
            sum_rows(own.front().offset + r, 0, in.columns, &row, 1);
        }
    }

    /// Fills the `wanted` columns of every row of `out` from the ranks that hold the rows.
    void pull_rows(const Split& from, const Matrix& out,
                   const std::vector<LocalSlice>& wanted) const {
        for (int i = 0; i < size(); ++i) {
            const int peer = (rank_ + i) % size();
            const auto& source = group_.views(rank_, peer);
            for (const auto& rows : slices(from, out.rows, peer)) {
                for (std::int64_t r = 0; r < rows.extent; ++r) {
                    for (const auto& want : wanted) {
                        std::copy_n(source.in + r * source.in_stride + want.slice.offset,
                                    want.slice.extent, out.row(rows.offset + r) + want.local);
                    }
                }
            }
        }
    }

    /// Fills the `wanted` columns of `out` from the ranks that hold them; row 0 of `out` is row
    /// `first_row` of theirs. Own copies are preferred.
    void pull(const Split& from, std::int64_t width, const Matrix& out,
              const std::vector<LocalSlice>& wanted, std::int64_t first_row) const {
        std::vector<Slice> done;
        // Copies that ranks of unequal shares made may differ in the last bit: all ranks take the
        // same ones. Else each starts with its own, so that not all read one rank's at once.
        const bool copies = from.kind == SplitKind::covering || from.kind == SplitKind::qkv;
        for (int i = 0; i < size(); ++i) {
            const int peer = copies ? i : (rank_ + i) % size();
            const auto& source = group_.views(rank_, peer);
            for (const auto& held : local_slices(from, width, peer)) {
                if (std::find(done.begin(), done.end(), held.slice) != done.end()) continue;
                done.push_back(held.slice);
                for (const auto& want : wanted) {
                    const auto begin = std::max(held.slice.offset, want.slice.offset);
                    const auto end = std::min(held.slice.offset + held.slice.extent,
                                              want.slice.offset + want.slice.extent);
                    if (begin >= end) continue;
                    auto rows = source;
                    rows.in += first_row * source.in_stride;
                    copy_columns(rows, held.local + begin - held.slice.offset, out,
                                 want.local + begin - want.slice.offset, end - begin);
                }
            }
        }
    }

    SharedGroup& group_;
    int rank_;
};

}  // namespace

std::unique_ptr<Communicator> make_shared_communicator(SharedGroup& group, int rank) {
    assert(group.ranks() <= kMaxRanks);
    return std::make_unique<SharedCommunicator>(group, rank);
}

}  // namespace tplan::cpu
