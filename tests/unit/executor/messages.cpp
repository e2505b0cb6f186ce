// Collectives over messages, between threads that hand each other copies.
#include "executor/cpu/messages.h"

#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <tuple>

#include "core/error.h"
#include "executor/cpu/team.h"
#include "tests/support/catch.h"
#include "tests/unit/executor/owned_matrix.h"

namespace tplan::cpu {
namespace {

using test::Owned;

/// Letters between ranks, by sender, receiver and tag.
struct Post {
    std::mutex mutex;
    std::map<std::tuple<int, int, int>, std::deque<std::string>> letters;
    int lost_sender = -1;  // its letters do not arrive
};

struct Request {
    std::tuple<int, int, int> box;
    void* to = nullptr;  // null: sent already
    std::size_t bytes = 0;
};

std::shared_ptr<Transport> transport(Post& post, int rank, int size) {
    auto t = std::make_shared<Transport>();
    t->rank = rank;
    t->size = size;
    t->name = "letters";
    t->send = [&post, rank](int peer, int tag, const void* data, std::size_t bytes) -> void* {
        const std::lock_guard lock(post.mutex);
        if (rank != post.lost_sender)
            post.letters[{rank, peer, tag}].emplace_back(static_cast<const char*>(data), bytes);
        return new Request;
    };
    t->receive = [rank](int peer, int tag, void* data, std::size_t bytes) -> void* {
        return new Request{{peer, rank, tag}, data, bytes};
    };
    t->done = [&post](void* pointer) {
        auto* const request = static_cast<Request*>(pointer);
        if (request->to != nullptr) {
            const std::lock_guard lock(post.mutex);
            auto& box = post.letters[request->box];
            if (box.empty()) return false;
            if (box.front().size() != request->bytes) throw Error("post", "another length");
            std::memcpy(request->to, box.front().data(), request->bytes);
            box.pop_front();
        }
        delete request;
        return true;
    };
    t->forget = [](void* pointer) { delete static_cast<Request*>(pointer); };
    return t;
}

struct Group {
    explicit Group(int ranks) : team(ranks) {
        for (int r = 0; r < ranks; ++r) {
            ends.push_back(make_message_communicator(transport(post, r, ranks)));
            ends.back()->set_deadline(30);
        }
    }
    void run(const std::function<void(Communicator&)>& work) {
        team.run([&](int rank) { work(*ends[static_cast<std::size_t>(rank)]); },
                 [&](int, const std::string& reason) {
                     for (auto& end : ends) end->abort(reason);
                 });
    }
    Post post;
    Team team;
    std::vector<std::unique_ptr<Communicator>> ends;
};

/// Whole numbers, so that sums are exact in any order.
float value(int rank, std::int64_t r, std::int64_t c) {
    return static_cast<float>((rank + 1) * 1000 + r * 37 + c);
}
float total(int ranks, std::int64_t r, std::int64_t c) {
    float sum = 0;
    for (int rank = 0; rank < ranks; ++rank) sum += value(rank, r, c);
    return sum;
}

void require(bool what) {
    if (!what) throw Error("test", "wrong numbers");
}

}  // namespace

TEST_CASE("messages: sums of all ranks, with gaps between rows, in place and not", "[executor]") {
    for (const int ranks : {1, 2, 3, 5}) {
        Group group(ranks);
        for (const std::int64_t columns : {1, 7, 500}) {
            group.run([&](Communicator& self) {
                Owned in(3, columns, 2), out(3, columns, 1);
                for (std::int64_t r = 0; r < 3; ++r) {
                    for (std::int64_t c = 0; c < columns; ++c)
                        in.view.row(r)[c] = value(self.rank(), r, c);
                }
                self.all_reduce(in.view, out.view, {"apart", 1});
                self.all_reduce(in.view, in.view, {"in place", 2});
                for (std::int64_t r = 0; r < 3; ++r) {
                    for (std::int64_t c = 0; c < columns; ++c) {
                        require(out.view.row(r)[c] == total(ranks, r, c));
                        require(in.view.row(r)[c] == total(ranks, r, c));
                    }
                    require(in.view.row(r)[columns] == -7.0F);
                }
            });
        }
    }
}

TEST_CASE("messages: columns are gathered, scattered and change owners", "[executor]") {
    constexpr std::int64_t kWidth = 22;
    for (const int ranks : {2, 3, 4}) {
        const Split chunk{.kind = SplitKind::chunk, .dim = 1, .parts = ranks};
        const Split packed{.kind = SplitKind::packed, .dim = 1, .parts = ranks};
        Group group(ranks);
        group.run([&](Communicator& self) {
            const int own = self.rank();
            Owned part(2, local_extent(chunk, kWidth, own)), whole(2, kWidth);
            std::int64_t at = 0;
            for (const auto& slice : slices(chunk, kWidth, own)) {
                for (std::int64_t c = 0; c < slice.extent; ++c, ++at) {
                    for (std::int64_t r = 0; r < 2; ++r)
                        part.view.row(r)[at] = value(0, r, slice.offset + c);
                }
            }
            self.all_gather(part.view, chunk, whole.view, {"gather", 1});
            for (std::int64_t c = 0; c < kWidth; ++c)
                require(whole.view.row(1)[c] == value(0, 1, c));

            Owned moved(2, local_extent(packed, kWidth, own));
            self.all_to_all(part.view, chunk, moved.view, packed, kWidth, {"move", 2});
            at = 0;
            for (const auto& slice : slices(packed, kWidth, own)) {
                for (std::int64_t c = 0; c < slice.extent; ++c, ++at)
                    require(moved.view.row(1)[at] == value(0, 1, slice.offset + c));
            }

            Owned partial(2, kWidth), sum(2, local_extent(packed, kWidth, own));
            for (std::int64_t r = 0; r < 2; ++r) {
                for (std::int64_t c = 0; c < kWidth; ++c) partial.view.row(r)[c] = value(own, r, c);
            }
            self.reduce_scatter(partial.view, sum.view, packed, {"scatter", 3});
            at = 0;
            for (const auto& slice : slices(packed, kWidth, own)) {
                for (std::int64_t c = 0; c < slice.extent; ++c, ++at)
                    require(sum.view.row(1)[at] == total(ranks, 1, slice.offset + c));
            }
            self.barrier({"end", 4});
            const auto words = self.exchange(std::string(static_cast<std::size_t>(own), 'x'), {});
            for (int r = 0; r < ranks; ++r)
                require(words[static_cast<std::size_t>(r)].size() == static_cast<std::size_t>(r));
        });
    }
}

TEST_CASE("messages: rows are gathered, scattered and change owners", "[executor]") {
    constexpr std::int64_t kWidth = 12;
    for (const int ranks : {1, 2, 3}) {
        const auto by_rows = Layout::tokens(ranks).split;
        const Split by_columns{.kind = SplitKind::packed, .dim = 1, .parts = ranks};
        for (const std::int64_t rows : {1, 4, 7}) {  // of one row some ranks have none
            Group group(ranks);
            group.run([&](Communicator& self) {
                const auto own = slices(by_rows, rows, self.rank());
                const Slice mine = own.empty() ? Slice{} : own.front();
                Owned part(mine.extent, kWidth), all(rows, kWidth);
                for (std::int64_t r = 0; r < mine.extent; ++r) {
                    for (std::int64_t c = 0; c < kWidth; ++c)
                        part.view.row(r)[c] = value(0, mine.offset + r, c);
                }
                self.all_gather(part.view, by_rows, all.view, {"gather", 1});
                for (std::int64_t r = 0; r < rows; ++r) {
                    for (std::int64_t c = 0; c < kWidth; ++c)
                        require(all.view.row(r)[c] == value(0, r, c));
                }

                Owned columns(rows, local_extent(by_columns, kWidth, self.rank()));
                self.all_to_all(part.view, by_rows, columns.view, by_columns, kWidth, {"to", 2});
                std::int64_t at = 0;
                for (const auto& slice : slices(by_columns, kWidth, self.rank())) {
                    for (std::int64_t c = 0; c < slice.extent; ++c, ++at) {
                        for (std::int64_t r = 0; r < rows; ++r)
                            require(columns.view.row(r)[at] == value(0, r, slice.offset + c));
                    }
                }
                Owned back(mine.extent, kWidth);
                self.all_to_all(columns.view, by_columns, back.view, by_rows, kWidth, {"back", 3});
                require(back.data == part.data);

                Owned summand(rows, kWidth), sum(mine.extent, kWidth);
                for (std::int64_t r = 0; r < rows; ++r) {
                    for (std::int64_t c = 0; c < kWidth; ++c)
                        summand.view.row(r)[c] = value(self.rank(), r, c);
                }
                self.reduce_scatter(summand.view, sum.view, by_rows, {"scatter", 4});
                for (std::int64_t r = 0; r < mine.extent; ++r) {
                    for (std::int64_t c = 0; c < kWidth; ++c)
                        require(sum.view.row(r)[c] == total(ranks, mine.offset + r, c));
                }
            });
        }
    }
}

TEST_CASE("messages: who is missing is named at the deadline", "[executor][fault]") {
    Group group(3);
    group.post.lost_sender = 2;
    for (auto& end : group.ends) end->set_deadline(0.3);
    CHECK_THROWS_WITH(group.run([](Communicator& self) {
        if (self.rank() == 2) return;
        Owned m(1, 4);
        self.all_reduce(m.view, m.view, {"layers.0.o_proj", 9});
    }),
                      Catch::Contains("all_reduce #9 \"layers.0.o_proj\" (1 x 4)") &&
                          Catch::Contains("rank 2 has not arrived for 300 ms"));
}

TEST_CASE("messages: ranks in different calls see it before numbers move", "[executor][fault]") {
    Group group(2);
    CHECK_THROWS_WITH(group.run([](Communicator& self) {
        Owned m(1, self.rank() == 0 ? 4 : 5);
        self.all_reduce(m.view, m.view, {"step", 3});
    }),
                      Catch::Contains("(1 x 4)") && Catch::Contains("(1 x 5)"));
}

TEST_CASE("messages: an abort frees who waits", "[executor][fault]") {
    Group group(2);
    CHECK_THROWS_WITH(group.run([](Communicator& self) {
        if (self.rank() == 1) throw Error("rank 1", "power failure");
        self.barrier({"never", 0});
    }),
                      Catch::Contains("power failure"));
    CHECK_THAT(group.ends[0]->last_error(), Catch::Contains("power failure"));
}

}  // namespace tplan::cpu
