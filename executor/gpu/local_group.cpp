#include "executor/gpu/local_group.h"

#include <algorithm>

#include "core/error.h"
#include "executor/cpu/collectives.h"

namespace tplan::gpu {
namespace {

class LocalCommunicator final : public Communicator {
  public:
    LocalCommunicator(cpu::SharedGroup& group, const Device& device)
        : group_(group),
          host_(cpu::make_shared_communicator(group, device.rank)),
          device_(device) {}

    int rank() const override { return device_.rank; }
    int size() const override { return group_.ranks(); }

    double all_reduce(const Matrix& in, const Matrix& out, const CollectiveTag& tag) override {
        return meet(OpKind::all_reduce, out.columns, in, out, tag, [&] {
            if (!in.contiguous() || !out.contiguous())
                throw Error("all_reduce", "rows with gaps", "this is a fault of the program");
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
        return meet(OpKind::all_gather, out.columns, in, out, tag, [&] {
            pull(from, out.columns, in, out, {{0, out.columns}});
        });
    }

    double reduce_scatter(const Matrix& in, const Matrix& out, const Split& to,
                          const CollectiveTag& tag) override {
        return meet(OpKind::reduce_scatter, in.columns, in, out, tag, [&] {
            for (std::int64_t r = 0; r < out.rows; ++r) {
                std::int64_t at = 0;
                for (const auto& slice : slices(to, in.columns, rank())) {
                    std::vector<const void*> sources;
                    for (int peer = 0; peer < size(); ++peer) {
                        auto theirs = in;
                        theirs.data = view(peer).in;
                        theirs.stride = view(peer).in_stride;
                        sources.push_back(theirs.place(r, slice.offset));
                    }
                    auto target = out;
                    target.data = out.place(r, at);
                    sum(device_, sources, target, 0, slice.extent);
                    at += slice.extent;
                }
            }
        });
    }

    double all_to_all(const Matrix& in, const Split& from, const Matrix& out, const Split& to,
                      std::int64_t width, const CollectiveTag& tag) override {
        return meet(OpKind::all_to_all, width, in, out, tag,
                    [&] { pull(from, width, in, out, slices(to, width, rank())); });
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

    void synchronise() {
        require(device_, device_.table->synchronise(device_.context), "waiting for the device");
    }

    /// What the ranks pass must be there before others read it, and read before it changes.
    template <class Work>
    double meet(OpKind kind, std::int64_t width, const Matrix& in, const Matrix& out,
                const CollectiveTag& tag, const Work& work) {
        synchronise();
        const double waited = group_.start(
            rank(), {static_cast<int>(kind), tag.index, out.rows, width, tag.step, in, out, false});
        work();
        synchronise();
        group_.finish(rank());
        return waited;
    }

    /// The `wanted` columns of `out` from the ranks that hold them.
    void pull(const Split& from, std::int64_t width, const Matrix& in, const Matrix& out,
              const std::vector<Slice>& wanted) {
        for (int peer = 0; peer < size(); ++peer) {
            auto theirs = in;
            theirs.data = view(peer).in;
            theirs.stride = view(peer).in_stride;
            std::int64_t local = 0;
            for (const auto& held : slices(from, width, peer)) {
                std::int64_t to = 0;
                for (const auto& want : wanted) {
                    const auto begin = std::max(held.offset, want.offset);
                    const auto end = std::min(held.offset + held.extent, want.offset + want.extent);
                    if (begin < end) {
                        copy_columns(device_, theirs, local + begin - held.offset, out,
                                     to + begin - want.offset, end - begin);
                    }
                    to += want.extent;
                }
                local += held.extent;
            }
        }
    }

    cpu::SharedGroup& group_;
    std::unique_ptr<Communicator> host_;
    Device device_;
};

}  // namespace

std::unique_ptr<Communicator> make_local_communicator(cpu::SharedGroup& group,
                                                      const Device& device) {
    return std::make_unique<LocalCommunicator>(group, device);
}

}  // namespace tplan::gpu
