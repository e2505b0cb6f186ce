#include "executor/cpu/messages.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <cstring>
#include <mutex>
#include <vector>

#include "core/error.h"
#include "core/json_io.h"
#include "core/text.h"
#include "executor/cpu/simd.h"
#include "executor/part.h"

namespace tplan::cpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kBarrier = -1, kExchange = -2;
constexpr int kWordTag = 1, kDataTag = 2, kSumTag = 3;

std::size_t at(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

/// What a rank says about the call it enters.
struct Word {
    std::int64_t number = 0;  // of the call, from one
    std::int64_t kind = 0, index = 0, rows = 0, width = 0;
    std::uint64_t bytes = 0;  // exchange: how long its own text is
    std::array<char, 96> step{};

    bool same_call(const Word& other) const {
        return number == other.number && kind == other.kind && index == other.index &&
               rows == other.rows && width == other.width;
    }
    std::string words() const {
        const std::string_view name(step.data(), ::strnlen(step.data(), step.size()));
        if (kind == kBarrier) return fmt::format("barrier \"{}\"", name);
        if (kind == kExchange) return fmt::format("exchange \"{}\"", name);
        return fmt::format("{} #{} \"{}\" ({} x {})", name_of(static_cast<OpKind>(kind)), index,
                           name, rows, width);
    }
};

/// A part of a matrix, densely.
std::vector<float> packed(const Matrix& m, const Part& part) {
    std::vector<float> out;
    out.reserve(at(part.elements()));
    for (const auto& rows : part.rows) {
        for (std::int64_t r = rows.offset; r < rows.offset + rows.extent; ++r) {
            for (const auto& columns : part.columns) {
                const float* from = m.row(r) + columns.offset;
                out.insert(out.end(), from, from + columns.extent);
            }
        }
    }
    return out;
}

std::vector<float> packed(const Matrix& m) {
    return packed(m, whole_part(m.rows, m.columns));
}

class MessageCommunicator final : public Communicator {
  public:
    explicit MessageCommunicator(std::shared_ptr<Transport> transport)
        : transport_(std::move(transport)) {}

    int rank() const override { return transport_->rank; }
    int size() const override { return transport_->size; }

    double all_reduce(const Matrix& in, const Matrix& out, const CollectiveTag& tag) override {
        const double waited = meet(OpKind::all_reduce, out.rows, out.columns, tag);
        const auto own = packed(in);
        const auto n = static_cast<std::int64_t>(own.size());
        const auto begin = [&](int r) { return n * r / size(); };
        // My part of everyone's numbers comes to me; I sum and send the sums to all.
        const auto mine = begin(rank() + 1) - begin(rank());
        std::vector<std::vector<float>> parts(at(size()), std::vector<float>(at(mine)));
        trade(
            kDataTag,
            [&](int peer) {
                return std::pair(own.data() + begin(peer), begin(peer + 1) - begin(peer));
            },
            [&](int peer) { return std::pair(parts[at(peer)].data(), mine); });
        std::copy_n(own.data() + begin(rank()), mine, parts[at(rank())].data());
        std::vector<float> sums(at(n));
        std::vector<const float*> sources;
        for (const auto& part : parts) sources.push_back(part.data());
        float* const target = sums.data() + begin(rank());
        simd().sum(sources.data(), size(), &target, 1, mine);
        trade(
            kSumTag, [&](int) { return std::pair(sums.data() + begin(rank()), mine); },
            [&](int peer) {
                return std::pair(sums.data() + begin(peer), begin(peer + 1) - begin(peer));
            });
        for (std::int64_t r = 0; r < out.rows; ++r)
            std::copy_n(sums.data() + r * out.columns, out.columns, out.row(r));
        return waited;
    }

    double all_gather(const Matrix& in, const Split& from, const Matrix& out,
                      const CollectiveTag& tag) override {
        const double waited = meet(OpKind::all_gather, out.rows, out.columns, tag);
        pull(in, from, out, {}, out.rows, out.columns);
        return waited;
    }

    double reduce_scatter(const Matrix& in, const Matrix& out, const Split& to,
                          const CollectiveTag& tag) override {
        const double waited = meet(OpKind::reduce_scatter, in.rows, in.columns, tag);
        std::vector<std::vector<float>> outgoing, incoming;
        const auto own = at(part_of(to, in.rows, in.columns, rank()).elements());
        for (int r = 0; r < size(); ++r) {
            outgoing.push_back(packed(in, part_of(to, in.rows, in.columns, r)));
            incoming.emplace_back(own);
        }
        trade(
            kDataTag, [&](int peer) { return view(outgoing[at(peer)]); },
            [&](int peer) { return view(incoming[at(peer)]); });
        incoming[at(rank())] = outgoing[at(rank())];
        std::vector<const float*> sources;
        for (std::int64_t r = 0; r < out.rows; ++r) {
            sources.clear();
            for (const auto& part : incoming) sources.push_back(part.data() + r * out.columns);
            float* const target = out.row(r);
            simd().sum(sources.data(), size(), &target, 1, out.columns);
        }
        return waited;
    }

    double all_to_all(const Matrix& in, const Split& from, const Matrix& out, const Split& to,
                      std::int64_t width, const CollectiveTag& tag) override {
        const auto rows = std::max(in.rows, out.rows);  // where rows are cut one side has all
        const double waited = meet(OpKind::all_to_all, rows, width, tag);
        pull(in, from, out, to, rows, width);
        return waited;
    }

    double barrier(const CollectiveTag& tag, bool patient) override {
        return meet(kBarrier, 0, 0, tag, 0, patient);
    }

    std::vector<std::string> exchange(std::string_view own, const CollectiveTag& tag) override {
        meet(kExchange, 0, 0, tag, own.size());
        std::vector<std::string> all(at(size()));
        for (int r = 0; r < size(); ++r) all[at(r)].resize(words_[at(r)].bytes);
        all[at(rank())] = own;
        std::vector<Pending> pending;
        for (int r = 0; r < size(); ++r) {
            if (r == rank()) continue;
            send(pending, r, kDataTag, own.data(), own.size());
            receive(pending, r, kDataTag, all[at(r)].data(), all[at(r)].size());
        }
        finish(pending, false);
        return all;
    }

    Trail& trail() override { return trail_; }
    std::vector<RankTrail> trails() const override { return {{rank(), trail_.records()}}; }
    void set_deadline(double seconds) override { deadline_s_ = seconds; }

    void abort(const std::string& reason) noexcept override {
        const std::lock_guard lock(mutex_);
        if (!reason_.empty()) return;
        try {
            reason_ = reason.empty() ? "no reason was given" : reason;
        } catch (...) {  // out of memory: the end of the group matters, the words do not
        }
    }
    std::string last_error() const override {
        const std::lock_guard lock(mutex_);
        return reason_;
    }

  private:
    /// A message under way, and whose absence it would show.
    struct Pending {
        void* request = nullptr;
        int peer = 0;
    };

    static std::pair<const float*, std::int64_t> view(const std::vector<float>& data) {
        return {data.data(), static_cast<std::int64_t>(data.size())};
    }
    static std::pair<float*, std::int64_t> view(std::vector<float>& data) {
        return {data.data(), static_cast<std::int64_t>(data.size())};
    }

    void send(std::vector<Pending>& pending, int peer, int tag, const void* data,
              std::size_t bytes) {
        if (bytes > 0) pending.push_back({transport_->send(peer, tag, data, bytes), peer});
    }
    void receive(std::vector<Pending>& pending, int peer, int tag, void* data, std::size_t bytes) {
        if (bytes > 0) pending.push_back({transport_->receive(peer, tag, data, bytes), peer});
    }

    /// Returns when all messages have arrived.
    void finish(std::vector<Pending>& pending, bool patient) {
        const auto start = Clock::now();
        while (!pending.empty()) {
            std::erase_if(pending, [&](const Pending& p) { return transport_->done(p.request); });
            if (pending.empty()) return;
            std::string reason = last_error();
            const double waited = std::chrono::duration<double>(Clock::now() - start).count();
            const bool late = !patient && waited > deadline_s_;
            if (reason.empty() && !late) {
                sched_yield();
                continue;
            }
            const int peer = pending.front().peer;
            for (const auto& p : pending) transport_->forget(p.request);
            pending.clear();
            if (!reason.empty())
                throw Error(fmt::format("rank {}", rank()),
                            fmt::format("{} aborted: {}", own_.words(), reason));
            throw Error(fmt::format("rank {}", rank()),
                        fmt::format("{}: rank {} has not arrived for {}", own_.words(), peer,
                                    format_time(Seconds(deadline_s_))),
                        "that rank hangs, was stopped, or needs a longer --deadline-s");
        }
    }

    double meet(OpKind kind, std::int64_t rows, std::int64_t width, const CollectiveTag& tag) {
        return meet(static_cast<int>(kind), rows, width, tag, 0, false);
    }

    /// Words from all ranks about the coming call. Seconds waited for the last.
    double meet(int kind, std::int64_t rows, std::int64_t width, const CollectiveTag& tag,
                std::uint64_t bytes, bool patient = false) {
        own_ = {.number = ++calls_,
                .kind = kind,
                .index = tag.index,
                .rows = rows,
                .width = width,
                .bytes = bytes};
        const auto length = std::min(tag.step.size(), own_.step.size() - 1);
        tag.step.copy(own_.step.data(), length);
        words_.assign(at(size()), own_);
        const auto arrival = Clock::now();
        std::vector<Pending> pending;
        for (int r = 0; r < size(); ++r) {
            if (r == rank()) continue;
            // Receives first: the rank that a failure names is one that has not spoken.
            receive(pending, r, kWordTag, &words_[at(r)], sizeof(Word));
        }
        for (int r = 0; r < size(); ++r) {
            if (r != rank()) send(pending, r, kWordTag, &own_, sizeof(Word));
        }
        finish(pending, patient);
        for (int r = 0; r < size(); ++r) {
            if (words_[at(r)].same_call(own_)) continue;
            throw Error(
                fmt::format("rank {}", rank()),
                fmt::format("{} meets {} of rank {}", own_.words(), words_[at(r)].words(), r),
                "every rank must run the same steps with the same shapes");
        }
        return std::chrono::duration<double>(Clock::now() - arrival).count();
    }

    /// Sends floats to every other rank and receives theirs; both functions give place and count.
    template <class Outgoing, class Incoming>
    void trade(int kind, const Outgoing& outgoing, const Incoming& incoming) {
        std::vector<Pending> pending;
        for (int r = 0; r < size(); ++r) {
            if (r == rank()) continue;
            const auto [from, count] = outgoing(r);
            send(pending, r, kind, from, at(count) * sizeof(float));
            const auto [to, wanted] = incoming(r);
            receive(pending, r, kind, to, at(wanted) * sizeof(float));
        }
        finish(pending, false);
    }

    /// Fills `out`, this rank's part by `to` of a [rows, width] activation, from what all ranks
    /// hold by `from`.
    void pull(const Matrix& in, const Split& from, const Matrix& out, const Split& to,
              std::int64_t rows, std::int64_t width) {
        const auto own = packed(in);
        std::vector<std::vector<float>> held;
        for (int r = 0; r < size(); ++r)
            held.emplace_back(at(part_of(from, rows, width, r).elements()));
        trade(
            kDataTag, [&](int) { return view(own); },
            [&](int peer) { return view(held[at(peer)]); });
        held[at(rank())] = own;
        const auto wanted = part_of(to, rows, width, rank());
        for (int r = 0; r < size(); ++r) {
            const auto theirs = part_of(from, rows, width, r);
            const auto stride = theirs.column_count();
            const auto columns = overlaps(theirs.columns, wanted.columns);
            for (const auto& some : overlaps(theirs.rows, wanted.rows)) {
                for (std::int64_t i = 0; i < some.extent; ++i) {
                    const float* const data = held[at(r)].data() + (some.from + i) * stride;
                    for (const auto& c : columns)
                        std::copy_n(data + c.from, c.extent, out.row(some.to + i) + c.to);
                }
            }
        }
    }

    std::shared_ptr<Transport> transport_;
    double deadline_s_ = 10;
    std::int64_t calls_ = 0;
    Word own_;
    std::vector<Word> words_;
    Trail trail_;
    mutable std::mutex mutex_;
    std::string reason_;
};

}  // namespace

std::unique_ptr<Communicator> make_message_communicator(std::shared_ptr<Transport> transport) {
    return std::make_unique<MessageCommunicator>(std::move(transport));
}

}  // namespace tplan::cpu
