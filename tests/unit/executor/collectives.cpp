#include "executor/cpu/collectives.h"

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "executor/cpu/team.h"
#include "tests/support/catch.h"
#include "tests/unit/executor/owned_matrix.h"

namespace tplan::cpu {
namespace {

using test::Owned;

/// Ranks that run collectives, and one matrix of whole numbers per rank.
struct Group {
    explicit Group(int ranks) : team(ranks), group(ranks, 50) {
        for (int r = 0; r < ranks; ++r) ends.push_back(make_shared_communicator(group, r));
        group.set_deadline(30);
    }
    void run(const std::function<void(Communicator&)>& work) {
        team.run([&](int rank) { work(*ends[static_cast<std::size_t>(rank)]); },
                 [&](int, const std::string& reason) { group.abort(reason); });
    }
    Team team;
    SharedGroup group;
    std::vector<std::unique_ptr<Communicator>> ends;
};

float value(int rank, std::int64_t row, std::int64_t column) {
    return static_cast<float>((rank + 1) * 1000 + row * 37 + column % 97);
}

Owned filled(int rank, std::int64_t rows, std::int64_t columns, std::int64_t padding = 0) {
    Owned m(rows, columns, padding);
    for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) m.at(r, c) = value(rank, r, c);
    }
    return m;
}

float total(int ranks, std::int64_t row, std::int64_t column) {
    float sum = 0;
    for (int r = 0; r < ranks; ++r) sum += value(r, row, column);
    return sum;
}

/// The columns `rank` owns under `split` of a matrix whose element is f(row, column).
template <class F>
Owned cut(const Split& split, std::int64_t rows, std::int64_t width, int rank, const F& f) {
    Owned m(rows, local_extent(split, width, rank));
    std::int64_t at = 0;
    for (const auto& slice : slices(split, width, rank)) {
        for (std::int64_t c = 0; c < slice.extent; ++c, ++at) {
            for (std::int64_t r = 0; r < rows; ++r) m.at(r, at) = f(r, slice.offset + c);
        }
    }
    return m;
}

std::vector<Split> splits(int parts) {
    return {{.kind = SplitKind::chunk, .dim = 1, .parts = parts},
            {.kind = SplitKind::packed, .dim = 1, .parts = parts},
            {.kind = SplitKind::grouped, .dim = 1, .parts = parts, .unit = 4},
            {.kind = SplitKind::balanced, .dim = 1, .parts = parts, .unit = 4},
            {.kind = SplitKind::covering, .dim = 1, .parts = parts, .blocks = 3, .unit = 4}};
}

const std::vector<int> kRanks = {1, 2, 3, 4, 5};

/// Own rows of every rank, and its rows of a matrix whose element is f(row, column).
Split by_rows(int parts) {
    return Layout::tokens(parts).split;
}
template <class F>
Owned own_rows(std::int64_t rows, std::int64_t width, int rank, int ranks, const F& f) {
    const auto own = slices(by_rows(ranks), rows, rank);
    const Slice slice = own.empty() ? Slice{} : own.front();
    Owned m(slice.extent, width);
    for (std::int64_t r = 0; r < slice.extent; ++r) {
        for (std::int64_t c = 0; c < width; ++c) m.at(r, c) = f(slice.offset + r, c);
    }
    return m;
}

}  // namespace

TEST_CASE("all_reduce sums on every rank, in place and not, over rows with gaps", "[executor]") {
    for (const int ranks : kRanks) {
        Group group(ranks);
        for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{1, 1},
                                            {1, 7},
                                            {3, 341},
                                            {1, 1024},
                                            {1, 1025},
                                            {5, 1003},
                                            {130, 77}}) {
            for (const std::int64_t padding : {0, 3}) {
                group.run([&, rows = rows, columns = columns](Communicator& self) {
                    auto in = filled(self.rank(), rows, columns, padding);
                    Owned out(rows, columns, 2 * padding);
                    self.all_reduce(in.view, out.view, {"apart", 1});
                    self.all_reduce(in.view, in.view, {"in place", 2});
                    for (std::int64_t r = 0; r < rows; ++r) {
                        for (std::int64_t c = 0; c < columns; ++c) {
                            const float expected = total(ranks, r, c);
                            if (out.at(r, c) != expected || in.at(r, c) != expected) {
                                throw Error("test", "wrong sum");
                            }
                        }
                        for (std::int64_t c = columns; c < columns + padding; ++c) {
                            if (in.at(r, c) != -7.0F) throw Error("test", "wrote past the row");
                        }
                    }
                });
            }
        }
    }
}

TEST_CASE("all_reduce gives bitwise equal results on all ranks", "[executor]") {
    constexpr int kGroup = 3;
    Group group(kGroup);
    for (const std::int64_t n : {100, 5000}) {
        std::vector<Owned> results;
        for (int r = 0; r < kGroup; ++r) results.emplace_back(1, n);
        group.run([&](Communicator& self) {
            auto& out = results[static_cast<std::size_t>(self.rank())];
            for (std::int64_t i = 0; i < n; ++i) {
                out.at(0, i) = 1.0F / static_cast<float>(3 + i + self.rank() * 17);
            }
            self.all_reduce(out.view, out.view, {"fractions", 0});
        });
        CHECK(results[0].data == results[1].data);
        CHECK(results[0].data == results[2].data);
    }
}

TEST_CASE("all_gather joins columns of unequal widths", "[executor]") {
    for (const int ranks : kRanks) {
        Group group(ranks);
        for (const auto& split : splits(ranks)) {
            for (const std::int64_t width : {8, 20, 40}) {
                if (split.kind == SplitKind::packed && width % (2 * ranks) != 0) continue;
                group.run([&](Communicator& self) {
                    const auto element = [](auto r, auto c) { return value(0, r, c); };
                    auto in = cut(split, 3, width, self.rank(), element);
                    Owned out(3, width);
                    self.all_gather(in.view, split, out.view, {"gather", 0});
                    if (out.data != filled(0, 3, width).data) throw Error("test", "wrong columns");
                });
            }
        }
    }
}

TEST_CASE("reduce_scatter leaves each rank its columns of the sum", "[executor]") {
    for (const int ranks : kRanks) {
        Group group(ranks);
        for (const auto& split : splits(ranks)) {
            constexpr std::int64_t kWidth = 120;
            group.run([&](Communicator& self) {
                auto in = filled(self.rank(), 4, kWidth);
                auto expected = cut(split, 4, kWidth, self.rank(),
                                    [&](auto r, auto c) { return total(ranks, r, c); });
                Owned out(4, expected.view.columns);
                self.reduce_scatter(in.view, out.view, split, {"scatter", 0});
                if (out.data != expected.data) throw Error("test", "wrong part");
            });
        }
    }
}

TEST_CASE("all_to_all hands columns from one cut to another", "[executor]") {
    for (const int ranks : kRanks) {
        Group group(ranks);
        for (const auto& from : splits(ranks)) {
            for (const auto& to : splits(ranks)) {
                constexpr std::int64_t kWidth = 120;
                group.run([&](Communicator& self) {
                    const auto element = [](auto r, auto c) { return value(0, r, c); };
                    auto in = cut(from, 2, kWidth, self.rank(), element);
                    auto expected = cut(to, 2, kWidth, self.rank(), element);
                    Owned out(2, expected.view.columns);
                    self.all_to_all(in.view, from, out.view, to, kWidth, {"exchange", 0});
                    if (out.data != expected.data) throw Error("test", "wrong columns");
                });
            }
        }
    }
}

TEST_CASE("rows are gathered, reduced and exchanged as columns are", "[executor]") {
    constexpr std::int64_t kWidth = 24;
    for (const int ranks : kRanks) {
        Group group(ranks);
        for (const std::int64_t rows : {1, 4, 7}) {  // some ranks have none
            const auto element = [](auto r, auto c) { return value(0, r, c); };
            group.run([&](Communicator& self) {
                const auto rank = self.rank();
                auto own = own_rows(rows, kWidth, rank, ranks, element);
                Owned whole(rows, kWidth);
                self.all_gather(own.view, by_rows(ranks), whole.view, {"gather", 0});
                if (whole.data != filled(0, rows, kWidth).data) throw Error("test", "gather");

                auto summand = filled(rank, rows, kWidth);
                const auto sum = own_rows(rows, kWidth, rank, ranks,
                                          [&](auto r, auto c) { return total(ranks, r, c); });
                Owned reduced(sum.view.rows, kWidth);
                self.reduce_scatter(summand.view, reduced.view, by_rows(ranks), {"scatter", 1});
                if (reduced.data != sum.data) throw Error("test", "scatter");

                for (const auto& columns : splits(ranks)) {
                    if (columns.kind == SplitKind::packed && kWidth % (2 * ranks) != 0) continue;
                    auto part = cut(columns, rows, kWidth, rank, element);
                    Owned there(rows, part.view.columns);
                    self.all_to_all(own.view, by_rows(ranks), there.view, columns, kWidth,
                                    {"exchange", 2});
                    if (there.data != part.data) throw Error("test", "rows to columns");
                    Owned back(own.view.rows, kWidth);
                    self.all_to_all(part.view, columns, back.view, by_rows(ranks), kWidth,
                                    {"exchange", 3});
                    if (back.data != own.data) throw Error("test", "columns to rows");
                }
            });
        }
    }
}

TEST_CASE("a rank that throws frees the others, and its exception is the one reported",
          "[executor][fault]") {
    for (int culprit = 0; culprit < 3; ++culprit) {
        Group group(3);
        try {
            group.run([&](Communicator& self) {
                Owned m(1, 10);
                self.all_reduce(m.view, m.view, {"before", 0});
                if (self.rank() == culprit) throw Error("rank", "something broke");
                self.all_reduce(m.view, m.view, {"after", 1});
            });
            FAIL("nothing was thrown");
        } catch (const Error& error) {
            CHECK(error.what_happened == "something broke");
        }
        CHECK(group.group.last_error() == "rank: something broke");
        CHECK_THROWS_WITH(group.run([](Communicator& self) {
            self.barrier({"again", 2});
        }),
                          Catch::Contains("something broke"));
    }
}

TEST_CASE("ranks in different collectives are told so", "[executor][fault]") {
    using Work = std::function<void(Communicator&, const Matrix&)>;
    const std::vector<Work> disagreements = {
        [](Communicator& self, const Matrix& m) {  // another size
            auto shorter = m;
            if (self.rank() == 1) shorter.columns = 5;
            self.all_reduce(shorter, shorter, {"mlp", 3});
        },
        [](Communicator& self, const Matrix& m) {  // another collective
            const Split whole{.kind = SplitKind::chunk, .parts = 2};
            if (self.rank() == 1) {
                self.all_to_all(m, whole, m, whole, m.columns, {"mlp", 3});
            } else {
                self.all_reduce(m, m, {"mlp", 3});
            }
        },
        [](Communicator& self, const Matrix& m) {  // another step
            self.all_reduce(m, m, {"mlp", self.rank()});
        }};
    for (const auto& work : disagreements) {
        Group group(2);
        CHECK_THROWS_WITH(
            group.run([&](Communicator& self) {
                Owned m(1, 3000);
                work(self, m.view);
            }),
            Catch::Contains("mlp") && Catch::Contains("meets") && Catch::Contains("of rank"));
    }
}

TEST_CASE("past the deadline the waiting rank names whom it waits for", "[executor][fault]") {
    Group group(2);
    group.group.set_deadline(0.02);
    CHECK_THROWS_WITH(group.run([&](Communicator& self) {
        Owned m(1, 10);
        if (self.rank() == 1) {
            while (self.last_error().empty()) std::this_thread::yield();
            return;
        }
        self.all_reduce(m.view, m.view, {"layers.3.mlp.down_proj.all_reduce", 41});
    }),
                      Catch::Contains("rank 0") && Catch::Contains("rank 1 has not arrived") &&
                          Catch::Contains("all_reduce #41 \"layers.3.mlp.down_proj.all_reduce\""));
}

}  // namespace tplan::cpu
