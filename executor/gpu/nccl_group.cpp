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

std::int64_t extent_of(const std::vector<Slice>& slices) {
    std::int64_t sum = 0;
    for (const auto& slice : slices) sum += slice.extent;
    return sum;
}

std::int64_t widest_part(const Split& split, std::int64_t width, int size) {
    std::int64_t widest = 0;
    for (int r = 0; r < size; ++r) widest = std::max(widest, extent_of(slices(split, width, r)));
    return widest;
}

/// A dense matrix of `like`'s rows and type in memory of its own.
Matrix dense(void* data, const Matrix& like, std::int64_t columns) {
    return {data, like.rows, columns, columns, like.dtype};
}

void* behind(const Matrix& m) {
    return static_cast<char*>(m.data) + static_cast<std::size_t>(m.bytes());
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

NcclCommunicator::NcclCommunicator(const tplan_nccl_v1& nccl, const Device& device,
                                   Communicator& meeting, double deadline_s, Scratch scratch)
    : nccl_(nccl),
      device_(device),
      meeting_(meeting),
      scratch_(std::move(scratch)),
      deadline_s_(deadline_s),
      under_way_("making the group") {
    std::string id(128, '\0');
    if (rank() == 0) start(nccl_.unique_id(id.data()), "ncclGetUniqueId");
    const auto ids = meeting_.exchange(rank() == 0 ? id : "", {"id of the NCCL group", 0});
    start(nccl_.init(&group_, size(), ids[0].data(), rank(), device_.context), "ncclCommInit");
    const auto begin = Clock::now();
    for (int now = nccl_.state(group_); now != 0; now = nccl_.state(group_)) {
        if (now != kInProgress) fail(fmt::format("making the group: {}", nccl_.text(now)));
        if (!meeting_.last_error().empty()) fail("aborted: " + meeting_.last_error());
        if (seconds_since(begin) > deadline_s_)
            fail(fmt::format("the group is not there after {}", format_time(Seconds(deadline_s_))));
        sched_yield();
    }
}

NcclCommunicator::~NcclCommunicator() {
    if (group_ == nullptr) return;
    if (meeting_.last_error().empty()) {
        nccl_.destroy(group_);
    } else {
        nccl_.abort(group_);
    }
}

void NcclCommunicator::start(int result, const char* what) {
    if (result == 0 || result == kInProgress) return;
    fail(fmt::format("{}: {}", what, nccl_.text(result)));
}

void NcclCommunicator::fail(const std::string& why) {
    const Error error(fmt::format("rank {}", rank()),
                      fmt::format("{} in {}, last {}", why, under_way_, trail().last()),
                      "that rank died, hangs, or needs a longer --deadline-s");
    meeting_.abort(error.what());
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
        if (!meeting_.last_error().empty()) fail("aborted: " + meeting_.last_error());
        if (seconds_since(begin) > deadline_s_)
            fail(fmt::format("not finished after {}", format_time(Seconds(deadline_s_))));
        sched_yield();
    }
}

double NcclCommunicator::all_reduce(const Matrix& in, const Matrix& out, const CollectiveTag& tag) {
    under_way_ = fmt::format("all_reduce #{} \"{}\"", tag.index, tag.step);
    if (!in.contiguous() || !out.contiguous())
        throw Error(fmt::format("rank {}", rank()), under_way_ + ": its rows have gaps");
    start(nccl_.all_reduce(group_, device_.context, in.data, out.data,
                           static_cast<std::size_t>(in.elements()), static_cast<int>(in.dtype)),
          under_way_.c_str());
    return 0;
}

double NcclCommunicator::all_gather(const Matrix& in, const Split& from, const Matrix& out,
                                    const CollectiveTag& tag) {
    under_way_ = fmt::format("all_gather #{} \"{}\"", tag.index, tag.step);
    pull(in, from, out.columns, out, {{0, out.columns}}, under_way_.c_str());
    return 0;
}

double NcclCommunicator::all_to_all(const Matrix& in, const Split& from, const Matrix& out,
                                    const Split& to, std::int64_t width, const CollectiveTag& tag) {
    under_way_ = fmt::format("all_to_all #{} \"{}\"", tag.index, tag.step);
    pull(in, from, width, out, slices(to, width, rank()), under_way_.c_str());
    return 0;
}

/// Parts may differ in width, which NCCL's do not: all are padded to the widest.
void NcclCommunicator::pull(const Matrix& in, const Split& from, std::int64_t width,
                            const Matrix& out, const std::vector<Slice>& wanted, const char* what) {
    const auto widest = widest_part(from, width, size());
    const auto part = static_cast<double>(in.rows * widest) * bytes_of(in.dtype);
    auto own =
        dense(scratch_(static_cast<std::size_t>(part) * static_cast<std::size_t>(size() + 1)), in,
              widest);
    copy_columns(device_, in, 0, own, 0, in.columns);
    auto all = dense(behind(own), in, widest);
    start(nccl_.all_gather(group_, device_.context, own.data, all.data,
                           static_cast<std::size_t>(own.elements()), static_cast<int>(in.dtype)),
          what);
    for (int r = 0; r < size(); ++r) {
        std::int64_t local = 0;
        for (const auto& held : slices(from, width, r)) {
            std::int64_t to = 0;
            for (const auto& want : wanted) {
                const auto begin = std::max(held.offset, want.offset);
                const auto end = std::min(held.offset + held.extent, want.offset + want.extent);
                if (begin < end) {
                    copy_columns(device_, all, local + begin - held.offset, out,
                                 to + begin - want.offset, end - begin);
                }
                to += want.extent;
            }
            local += held.extent;
        }
        all.data = behind(all);
    }
}

double NcclCommunicator::reduce_scatter(const Matrix& in, const Matrix& out, const Split& to,
                                        const CollectiveTag& tag) {
    under_way_ = fmt::format("reduce_scatter #{} \"{}\"", tag.index, tag.step);
    const auto widest = widest_part(to, in.columns, size());
    const auto part = static_cast<double>(in.rows * widest) * bytes_of(in.dtype);
    const auto own =
        dense(scratch_(static_cast<std::size_t>(part) * static_cast<std::size_t>(size() + 1)), in,
              widest);
    auto packed = dense(behind(own), in, widest);
    const void* first = packed.data;
    for (int r = 0; r < size(); ++r) {
        std::int64_t at = 0;
        for (const auto& slice : slices(to, in.columns, r)) {
            copy_columns(device_, in, slice.offset, packed, at, slice.extent);
            at += slice.extent;
        }
        packed.data = behind(packed);
    }
    start(
        nccl_.reduce_scatter(group_, device_.context, first, own.data,
                             static_cast<std::size_t>(own.elements()), static_cast<int>(in.dtype)),
        under_way_.c_str());
    copy_columns(device_, own, 0, out, 0, out.columns);
    return 0;
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
