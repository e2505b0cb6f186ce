#include "executor/gpu/peer_reduce.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>

#include "core/error.h"
#include "core/text.h"

namespace tplan::gpu {
namespace {

constexpr double kKiB = 1024;
/// vLLM's rule: one-shot below this; the part that each rank sums must pay for a second meeting.
constexpr double kOneShotToFour = 512 * kKiB, kOneShotToEight = 256 * kKiB;

/// The first of what the ranks say that is not empty, with the rank that says it.
std::string first_said(const std::vector<std::string>& said) {
    for (std::size_t r = 0; r < said.size(); ++r) {
        if (!said[r].empty()) return fmt::format("rank {}: {}", r, said[r]);
    }
    return {};
}

}  // namespace

Shots shots_for(std::string_view algorithm, int ranks, double bytes) {
    if (bytes > static_cast<double>(kPeerCapacity)) return Shots::none;
    if (algorithm == "one-shot" || algorithm == "one-shot-large") return Shots::one;
    if (algorithm == "two-shot") return Shots::two;
    // "custom" is vLLM's own choice between them, called by the host.
    if (!algorithm.empty() && algorithm != "auto" && algorithm != "custom") return Shots::none;
    if (ranks == 2) return Shots::one;
    return bytes < (ranks <= 4 ? kOneShotToFour : kOneShotToEight) ? Shots::one : Shots::two;
}

PeerReduce::PeerReduce(const Device& device, Communicator& meeting, Reach reach,
                       std::string why_not)
    : device_(device), reach_(reach), rank_(meeting.rank()), size_(meeting.size()) {
    if (why_not.empty() && size_ > TPLAN_PEER_RANKS)
        why_not = fmt::format("it joins up to {} ranks", TPLAN_PEER_RANKS);
    if (why_not.empty()) why_not = take_memory();
    refusal_ = first_said(meeting.exchange(why_not, {"ability of peers", 0}));
    if (!refusal_.empty()) return;

    std::string name(TPLAN_PEER_HANDLE, '\0');
    const auto own = static_cast<std::size_t>(rank_);
    if (reach_ == Reach::handles) {
        const auto* wrong = device_.table->export_memory(device_.context, areas_[own], name.data());
        if (wrong != nullptr) why_not = wrong;
    } else {
        std::memcpy(name.data(), &areas_[own], sizeof areas_[own]);
    }
    const auto names = meeting.exchange(why_not.empty() ? name : "", {"memory of peers", 0});
    if (why_not.empty()) why_not = reach_others(names);
    refusal_ = first_said(meeting.exchange(why_not, {"reach of peers", 0}));
}

std::string PeerReduce::take_memory() {
    const auto& table = *device_.table;
    auto& area = areas_[static_cast<std::size_t>(rank_)];
    const char* wrong =
        table.allocate(device_.context, table.peer_area_bytes(kPeerCapacity), &area);
    // Zeroes must be there before another rank writes its flags.
    if (wrong == nullptr) wrong = table.synchronise(device_.context);
    void* word = nullptr;
    if (wrong == nullptr)
        wrong = table.allocate_host(device_.context, sizeof(std::uint32_t), &word);
    abort_ = static_cast<std::uint32_t*>(word);
    return wrong != nullptr ? wrong : "";
}

/// What goes wrong; empty when every area can be seen.
std::string PeerReduce::reach_others(std::span<const std::string> names) {
    for (int r = 0; r < size_; ++r) {
        const auto at = static_cast<std::size_t>(r);
        if (r == rank_) continue;
        if (names[at].size() != TPLAN_PEER_HANDLE) return fmt::format("rank {} has no memory", r);
        if (reach_ == Reach::process) {
            std::memcpy(&areas_[at], names[at].data(), sizeof areas_[at]);
        } else if (const char* wrong = device_.table->import_memory(
                       device_.context, names[at].data(), &areas_[at])) {
            return fmt::format("memory of rank {}: {}", r, wrong);
        }
    }
    return {};
}

PeerReduce::~PeerReduce() {
    const auto& table = *device_.table;
    for (int r = 0; r < std::min(size_, TPLAN_PEER_RANKS); ++r) {
        auto* const area = areas_[r];
        if (area == nullptr) continue;
        if (r == rank_) {
            // Another process may have it open still, and must not find it gone.
            if (reach_ == Reach::process) table.release(device_.context, area);
        } else if (reach_ == Reach::handles) {
            table.drop_import(device_.context, area);
        }
    }
    if (abort_ != nullptr) table.release_host(device_.context, abort_);
}

tplan_peer_sum PeerReduce::call(const Matrix& like, Shots shots) const {
    assert(refusal_.empty() && shots != Shots::none);
    tplan_peer_sum sum{};
    sum.ranks = size_;
    std::copy(std::begin(areas_), std::end(areas_), std::begin(sum.areas));
    sum.capacity = kPeerCapacity;
    sum.abort = abort_;
    sum.count = like.elements();
    sum.dtype = static_cast<int>(like.dtype);
    sum.two_shot = shots == Shots::two;
    return sum;
}

void PeerReduce::launch(const Matrix& in, const Matrix& out, Shots shots) {
    auto sum = call(in, shots);
    sum.first = rank_;
    sum.joined = 1;
    sum.in[0] = in.data;
    sum.out[0] = out.data;
    require(device_, device_.table->peer_sum(device_.context, &sum), "summing over peers");
}

void PeerReduce::launch_all(const Matrix& like, std::span<const void* const> ins,
                            std::span<void* const> outs, Shots shots) {
    assert(static_cast<int>(ins.size()) == size_ && ins.size() == outs.size());
    auto sum = call(like, shots);
    sum.joined = size_;
    std::copy(ins.begin(), ins.end(), std::begin(sum.in));
    std::copy(outs.begin(), outs.end(), std::begin(sum.out));
    require(device_, device_.table->peer_sum(device_.context, &sum), "summing over peers");
}

void PeerReduce::abort() noexcept {
    if (abort_ != nullptr) std::atomic_ref(*abort_).store(1, std::memory_order_release);
}

}  // namespace tplan::gpu
