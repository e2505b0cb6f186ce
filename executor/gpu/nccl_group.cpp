#include "executor/gpu/nccl_group.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/error.h"
#include "core/text.h"

namespace tplan::gpu {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kInProgress = 1;
constexpr const char* kOnStream = "its place on the stream is not there";

/// Elements of the largest part: NCCL's parts are all alike, so that the others are padded.
std::int64_t largest_part(const Split& split, std::int64_t rows, std::int64_t width, int size) {
    std::int64_t most = 0;
    for (int r = 0; r < size; ++r) most = std::max(most, part_of(split, rows, width, r).elements());
    return most;
}

/// A part without gaps at the `index`-th of places for `most` elements each.
Matrix dense(void* places, std::int64_t most, int index, const Part& part, DType dtype) {
    const Matrix all{places, index + 1, most, most, dtype};
    return {all.place(index, 0), part.row_count(), part.column_count(), part.column_count(), dtype};
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

NcclCommunicator::NcclCommunicator(const tplan_nccl_v1& nccl, const Device& device,
                                   Communicator& meeting, double deadline_s, Scratch scratch,
                                   PeerReduce* peers)
    : nccl_(nccl),
      device_(device),
      meeting_(meeting),
      scratch_(std::move(scratch)),
      peers_(peers != nullptr && peers->refusal().empty() ? peers : nullptr),
      deadline_s_(deadline_s),
      under_way_("making the group") {
    std::string id(128, '\0');
    if (rank() == 0) {
        if (const int result = nccl_.unique_id(id.data()); result != 0)
            fail(fmt::format("ncclGetUniqueId: {}", nccl_.text(result)));
    }
    const auto ids = meeting_.exchange(rank() == 0 ? id : "", {"id of the NCCL group", 0});
    start(nccl_.init(&group_, size(), ids[0].data(), rank(), device_.context),
          "the group is not there");
}

NcclCommunicator::~NcclCommunicator() {
    if (group_ == nullptr) return;
    if (meeting_.last_error().empty()) {
        nccl_.destroy(group_);
    } else {
        nccl_.abort(group_);
    }
}

/// A call of a group that does not block may return before its work is on the stream, and what is
/// launched next would overtake it.
void NcclCommunicator::start(int result, const char* late) {
    const auto begin = Clock::now();
    for (; result == kInProgress; result = nccl_.state(group_))
        wait_a_turn(seconds_since(begin), late);
    if (result != 0) fail(nccl_.text(result));
}

void NcclCommunicator::wait_a_turn(double waited_s, const char* late) {
    if (!meeting_.last_error().empty()) fail("aborted: " + meeting_.last_error());
    if (waited_s > deadline_s_)
        fail(fmt::format("{} after {}", late, format_time(Seconds(deadline_s_))));
    sched_yield();
}

void NcclCommunicator::fail(const std::string& why) {
    const Error error(fmt::format("rank {}", rank()),
                      fmt::format("{} in {}, last {}", why, under_way_, trail().last()),
                      "that rank died, hangs, or needs a longer --deadline-s");
    meeting_.abort(error.what());
    if (peers_ != nullptr) peers_->abort();
    if (group_ != nullptr) nccl_.abort(group_);
    group_ = nullptr;
    throw error;
}

void NcclCommunicator::finish() {
    const auto begin = Clock::now();
    for (;;) {
        const char* wrong = nullptr;
        const int busy = device_.table->busy(device_.context, &wrong);
        if (busy == 0) return;
        if (busy < 0) fail(wrong);
        if (group_ == nullptr) throw Error(fmt::format("rank {}", rank()), "its group is gone");
        if (const int now = nccl_.state(group_); now != 0 && now != kInProgress)
            fail(nccl_.text(now));
        wait_a_turn(seconds_since(begin), "not finished");
    }
}

double NcclCommunicator::all_reduce(const Matrix& in, const Matrix& out, const CollectiveTag& tag) {
    under_way_ = fmt::format("all_reduce #{} \"{}\"", tag.index, tag.step);
    if (!in.contiguous() || !out.contiguous())
        throw Error(fmt::format("rank {}", rank()), under_way_ + ": its rows have gaps");
    const auto shots =
        peers_ != nullptr ? shots_for(tag.algorithm, size(), in.bytes()) : Shots::none;
    if (shots != Shots::none) {
        peers_->launch(in, out, shots);
        return 0;
    }
    start(nccl_.all_reduce(group_, device_.context, in.data, out.data,
                           static_cast<std::size_t>(in.elements()), static_cast<int>(in.dtype)),
          kOnStream);
    return 0;
}

double NcclCommunicator::all_gather(const Matrix& in, const Split& from, const Matrix& out,
                                    const CollectiveTag& tag) {
    under_way_ = fmt::format("all_gather #{} \"{}\"", tag.index, tag.step);
    pull(in, from, out, {}, out.rows, out.columns);
    return 0;
}

double NcclCommunicator::all_to_all(const Matrix& in, const Split& from, const Matrix& out,
                                    const Split& to, std::int64_t width, const CollectiveTag& tag) {
    under_way_ = fmt::format("all_to_all #{} \"{}\"", tag.index, tag.step);
    pull(in, from, out, to, std::max(in.rows, out.rows), width);
    return 0;
}

/// `out`, this rank's part by `to` of a [rows, width] activation, from the parts by `from` of all.
void NcclCommunicator::pull(const Matrix& in, const Split& from, const Matrix& out, const Split& to,
                            std::int64_t rows, std::int64_t width) {
    const auto most = largest_part(from, rows, width, size());
    void* const places = places_of(most, in.dtype);
    const auto mine = part_of(from, rows, width, rank());
    const auto own = dense(places, most, 0, mine, in.dtype);
    copy_part(device_, in, mine, own, mine);
    const auto first = dense(places, most, 1, {}, in.dtype);
    start(nccl_.all_gather(group_, device_.context, own.data, first.data,
                           static_cast<std::size_t>(most), static_cast<int>(in.dtype)),
          kOnStream);
    const auto wanted = part_of(to, rows, width, rank());
    for (int r = 0; r < size(); ++r) {
        const auto theirs = part_of(from, rows, width, r);
        copy_part(device_, dense(places, most, r + 1, theirs, in.dtype), theirs, out, wanted);
    }
}

double NcclCommunicator::reduce_scatter(const Matrix& in, const Matrix& out, const Split& to,
                                        const CollectiveTag& tag) {
    under_way_ = fmt::format("reduce_scatter #{} \"{}\"", tag.index, tag.step);
    const auto most = largest_part(to, in.rows, in.columns, size());
    void* const places = places_of(most, in.dtype);
    const auto all = whole_part(in.rows, in.columns);
    for (int r = 0; r < size(); ++r) {
        const auto theirs = part_of(to, in.rows, in.columns, r);
        copy_part(device_, in, all, dense(places, most, r + 1, theirs, in.dtype), theirs);
    }
    const auto mine = part_of(to, in.rows, in.columns, rank());
    const auto own = dense(places, most, 0, mine, in.dtype);
    const auto first = dense(places, most, 1, {}, in.dtype);
    start(nccl_.reduce_scatter(group_, device_.context, first.data, own.data,
                               static_cast<std::size_t>(most), static_cast<int>(in.dtype)),
          kOnStream);
    copy_part(device_, own, mine, out, mine);
    return 0;
}

/// Scratch for a part of every rank, the own one in front.
void* NcclCommunicator::places_of(std::int64_t elements, DType dtype) {
    const Matrix all{nullptr, size() + 1, elements, elements, dtype};
    return scratch_(static_cast<std::size_t>(all.bytes()));
}

double NcclCommunicator::barrier(const CollectiveTag& tag, bool patient) {
    finish();
    return meeting_.barrier(tag, patient);
}

std::vector<std::string> NcclCommunicator::exchange(std::string_view own,
                                                    const CollectiveTag& tag) {
    return meeting_.exchange(own, tag);
}

void NcclCommunicator::set_deadline(double seconds) {
    deadline_s_ = seconds;
    meeting_.set_deadline(seconds);
}

void NcclCommunicator::abort(const std::string& reason) noexcept {
    meeting_.abort(reason);
}

}  // namespace tplan::gpu
