#include "executor/gpu/local_group.h"

#include <algorithm>

#include "core/error.h"
#include "executor/cpu/collectives.h"

namespace tplan::gpu {
namespace {

class LocalCommunicator final : public Communicator {
  public:
    LocalCommunicator(cpu::SharedGroup& group, const Device& device, PeerReduce* peers)
        : group_(group),
          host_(cpu::make_shared_communicator(group, device.rank)),
          device_(device),
          peers_(peers != nullptr && peers->refusal().empty() ? peers : nullptr) {}

    int rank() const override { return device_.rank; }
    int size() const override { return group_.ranks(); }

    double all_reduce(const Matrix& in, const Matrix& out, const CollectiveTag& tag) override {
        return meet(OpKind::all_reduce, out.columns, in, out, tag, [&] {
            if (!in.contiguous() || !out.contiguous())
                throw Error("all_reduce", "rows with gaps", "this is a fault of the program");
            if (const auto shots = peers_shots(in, tag); shots != Shots::none) {
                if (rank() == 0) sum_over_peers(in, shots);
                return;
            }
            const auto begin = out.elements() * rank() / size();
            const auto end = out.elements() * (rank() + 1) / size();
            std::vector<const void*> sources;
            for (int peer = 0; peer < size(); ++peer) sources.push_back(view(peer).in);
            sum(device_, sources, out, begin, end);
            for (int peer = 0; peer < size(); ++peer) {
                if (peer == rank()) continue;
                auto theirs = out;
                theirs.data = view(peer).out;
                sum(device_, {out.data}, theirs, begin, end);
            }
        });
    }

    double all_gather(const Matrix& in, const Split& from, const Matrix& out,
                      const CollectiveTag& tag) override {
        return meet(OpKind::all_gather, out.columns, in, out, tag,
                    [&] { pull(in, from, out, {}, out.rows, out.columns); });
    }

    double reduce_scatter(const Matrix& in, const Matrix& out, const Split& to,
                          const CollectiveTag& tag) override {
        return meet(OpKind::reduce_scatter, in.columns, in, out, tag, [&] {
            const auto mine = part_of(to, in.rows, in.columns, rank());
            const auto columns = overlaps({{0, in.columns}}, mine.columns);
            for (const auto& rows : overlaps({{0, in.rows}}, mine.rows)) {
                for (std::int64_t i = 0; i < rows.extent; ++i) {
                    for (const auto& c : columns)
                        sum_run(in, rows.from + i, c.from, out, rows.to + i, c.to, c.extent);
                }
            }
        });
    }

    double all_to_all(const Matrix& in, const Split& from, const Matrix& out, const Split& to,
                      std::int64_t width, const CollectiveTag& tag) override {
        return meet(OpKind::all_to_all, width, in, out, tag,
                    [&] { pull(in, from, out, to, std::max(in.rows, out.rows), width); });
    }

    double barrier(const CollectiveTag& tag, bool patient) override {
        synchronise();
        return host_->barrier(tag, patient);
    }
    std::vector<std::string> exchange(std::string_view own, const CollectiveTag& tag) override {
        return host_->exchange(own, tag);
    }
    Trail& trail() override { return host_->trail(); }
    std::vector<RankTrail> trails() const override { return host_->trails(); }
    void set_deadline(double seconds) override { host_->set_deadline(seconds); }
    void abort(const std::string& reason) noexcept override { host_->abort(reason); }
    std::string last_error() const override { return host_->last_error(); }

  private:
    const cpu::SharedGroup::Views& view(int peer) const { return group_.views(rank(), peer); }

    Shots peers_shots(const Matrix& in, const CollectiveTag& tag) const {
        if (peers_ == nullptr) return Shots::none;
        const auto named = shots_for(tag.algorithm, size(), in.bytes());
        return named != Shots::none ? named : shots_for({}, size(), in.bytes());
    }

    /// For all ranks at once: their blocks wait for each other.
    void sum_over_peers(const Matrix& like, Shots shots) {
        std::vector<const void*> ins;
        std::vector<void*> outs;
        for (int peer = 0; peer < size(); ++peer) {
            ins.push_back(view(peer).in);
            outs.push_back(view(peer).out);
        }
        peers_->launch_all(like, ins, outs, shots);
    }

    void synchronise() {
        require(device_, device_.table->synchronise(device_.context), "waiting for the device");
    }

    /// What the ranks pass must be there before others read it, and read before it changes.
    template <class Work>
    double meet(OpKind kind, std::int64_t width, const Matrix& in, const Matrix& out,
                const CollectiveTag& tag, const Work& work) {
        synchronise();
        const auto rows = std::max(in.rows, out.rows);  // where rows are cut one side has all
        const double waited = group_.start(
            rank(), {static_cast<int>(kind), tag.index, rows, width, tag.step, in, out, false});
        work();
        synchronise();
        group_.finish(rank());
        return waited;
    }

    /// `n` elements of a row of out = the sum over ranks of as many of a row of their inputs.
    void sum_run(const Matrix& in, std::int64_t row, std::int64_t column, const Matrix& out,
                 std::int64_t out_row, std::int64_t out_column, std::int64_t n) {
        std::vector<const void*> sources;
        for (int peer = 0; peer < size(); ++peer)
            sources.push_back(theirs(peer, in).place(row, column));
        auto target = out;
        target.data = out.place(out_row, out_column);
        sum(device_, sources, target, 0, n);
    }

    /// A peer's input, of which only place and stride are known here.
    Matrix theirs(int peer, const Matrix& like) const {
        auto matrix = like;
        matrix.data = view(peer).in;
        matrix.stride = view(peer).in_stride;
        return matrix;
    }

    /// `out`, this rank's part by `to` of a [rows, width] activation, from the parts of all ranks
    /// by `from`.
    void pull(const Matrix& in, const Split& from, const Matrix& out, const Split& to,
              std::int64_t rows, std::int64_t width) {
        const auto wanted = part_of(to, rows, width, rank());
        for (int peer = 0; peer < size(); ++peer)
            copy_part(device_, theirs(peer, in), part_of(from, rows, width, peer), out, wanted);
    }

    cpu::SharedGroup& group_;
    std::unique_ptr<Communicator> host_;
    Device device_;
    PeerReduce* peers_;  // null: none that can be used
};

}  // namespace

std::unique_ptr<Communicator> make_local_communicator(cpu::SharedGroup& group, const Device& device,
                                                      PeerReduce* peers) {
    return std::make_unique<LocalCommunicator>(group, device, peers);
}

}  // namespace tplan::gpu
