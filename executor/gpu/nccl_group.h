#pragma once
#include <functional>
#include <memory>

#include "executor/communicator.h"
#include "executor/gpu/device.h"
#include "executor/gpu/peer_reduce.h"

namespace tplan::gpu {

/// Memory on a rank's device for collectives that must gather their parts first. Kept and grown.
using Scratch = std::function<void*(std::size_t bytes)>;

/// One rank's end of an NCCL group. Nothing here waits inside NCCL or CUDA: the group is made
/// without blocking, collectives are put on the rank's stream, and finish() looks at stream, group,
/// abort flag and deadline in turn, so that a rank that is gone ends the others (NCCL aborts, CUDA
/// never returns from the collective by itself).
///
/// `peers`, where there are any, take the all-reduces that shots_for() gives them.
///
/// `meeting` is the same ranks' group on the host: the id of the group, words, barriers and aborts
/// go through it. It must outlive this. Throws Error when the group does not come about before the
/// deadline, which set_deadline() of the meeting gives.
class NcclCommunicator final : public Communicator {
  public:
    NcclCommunicator(const tplan_nccl_v1& nccl, const Device& device, Communicator& meeting,
                     double deadline_s, Scratch scratch, PeerReduce* peers = nullptr);
    ~NcclCommunicator() override;
    NcclCommunicator(const NcclCommunicator&) = delete;
    NcclCommunicator& operator=(const NcclCommunicator&) = delete;

    int rank() const override { return meeting_.rank(); }
    int size() const override { return meeting_.size(); }
    double all_reduce(const Matrix& in, const Matrix& out, const CollectiveTag& tag) override;
    double all_gather(const Matrix& in, const Split& from, const Matrix& out,
                      const CollectiveTag& tag) override;
    double reduce_scatter(const Matrix& in, const Matrix& out, const Split& to,
                          const CollectiveTag& tag) override;
    double all_to_all(const Matrix& in, const Split& from, const Matrix& out, const Split& to,
                      std::int64_t width, const CollectiveTag& tag) override;
    double barrier(const CollectiveTag& tag, bool patient) override;
    std::vector<std::string> exchange(std::string_view own, const CollectiveTag& tag) override;
    Trail& trail() override { return meeting_.trail(); }
    std::vector<RankTrail> trails() const override { return meeting_.trails(); }
    void set_deadline(double seconds) override;
    void abort(const std::string& reason) noexcept override;
    std::string last_error() const override { return meeting_.last_error(); }

    /// Returns when all work on the rank's stream is done. Throws Error naming the collective under
    /// way when the group fails, another rank aborts, or the deadline passes; the group is then
    /// gone.
    void finish();

  private:
    /// Waits for a call that is in progress; `late` says what is missing past the deadline.
    void start(int result, const char* late);
    /// Fails when another rank has, or past the deadline, saying what is late.
    void wait_a_turn(double waited_s, const char* late);
    [[noreturn]] void fail(const std::string& why);
    void pull(const Matrix& in, const Split& from, const Matrix& out, const Split& to,
              std::int64_t rows, std::int64_t width);
    void* places_of(std::int64_t elements, DType dtype);

    const tplan_nccl_v1& nccl_;
    Device device_;
    Communicator& meeting_;
    Scratch scratch_;
    PeerReduce* peers_;  // null: none that can be used
    double deadline_s_;
    void* group_ = nullptr;
    std::string under_way_;  // the last collective put on the stream
};

}  // namespace tplan::gpu
