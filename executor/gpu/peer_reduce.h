#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "executor/communicator.h"
#include "executor/gpu/device.h"

namespace tplan::gpu {

/// How an all-reduce goes over peer memory. One-shot: each rank reads and sums the inputs of all.
/// Two-shot: each sums one part, then reads the others' parts.
enum class Shots { none, one, two };

/// Bytes of the largest message that goes over peer memory: the cap of vLLM's custom all-reduce.
constexpr std::size_t kPeerCapacity = std::size_t{8} << 20;

/// The way of an all-reduce of `bytes` per rank whose step names `algorithm` (Step::algorithm): as
/// it says where it is one of the two, none where it is NCCL's ("ring-ll"). Where the plan does not
/// say ("auto" or nothing), as vLLM does: one-shot between two ranks, below 512 KiB up to four and
/// below 256 KiB up to eight, else two-shot. None above kPeerCapacity.
Shots shots_for(std::string_view algorithm, int ranks, double bytes);

/// One rank's end of the plugin's own all-reduce (tplan_peer_sum): memory that every rank's device
/// reads, taken once, so that launches can be recorded in a graph. Launches do not wait on the
/// host; on the device they wait for the other ranks' launches until abort().
class PeerReduce {
  public:
    /// How ranks see each other's memory.
    enum class Reach { process, handles };

    /// All ranks of `meeting` make theirs at once. `why_not`: what keeps this rank from it; empty
    /// when nothing does. Memory that other processes read is kept until this one ends. Throws
    /// Error when the meeting fails.
    PeerReduce(const Device& device, Communicator& meeting, Reach reach, std::string why_not);
    ~PeerReduce();
    PeerReduce(const PeerReduce&) = delete;
    PeerReduce& operator=(const PeerReduce&) = delete;

    /// Why no rank can use it; empty when all can.
    const std::string& refusal() const { return refusal_; }

    /// Puts the own rank's all-reduce on its stream. `in` and `out` are contiguous, of one shape,
    /// and may be the same. Requires refusal() empty, a message of at most kPeerCapacity, and
    /// `shots` not none.
    void launch(const Matrix& in, const Matrix& out, Shots shots);

    /// Puts the all-reduce of all ranks on this one's stream, for ranks that share its device:
    /// `ins[r]` and `outs[r]` are rank r's, shaped like `like`. Requires as launch().
    void launch_all(const Matrix& like, std::span<const void* const> ins,
                    std::span<void* const> outs, Shots shots);

    /// Ends the waiting of launches that are under way, and of later ones: their sums are void.
    void abort() noexcept;

  private:
    std::string take_memory();
    std::string reach_others(std::span<const std::string> names);
    tplan_peer_sum call(const Matrix& like, Shots shots) const;

    Device device_;
    Reach reach_;
    int rank_, size_;
    std::string refusal_;
    void* areas_[TPLAN_PEER_RANKS] = {};  // the own one, and the others' as seen from here
    std::uint32_t* abort_ = nullptr;
};

}  // namespace tplan::gpu
