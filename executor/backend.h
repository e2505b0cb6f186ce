#pragma once
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "executor/bound_step.h"
#include "executor/communicator.h"
#include "models/program.h"

namespace tplan {

/// A point in time on one rank. Of a device: `id` names its event.
struct Mark {
    std::int64_t begin_ns = 0;  // wall clock when recording began
    std::int64_t end_ns = 0;    // and when it ended
    std::int64_t cpu_ns = -1;   // CPU time of the thread; -1 = not read
    std::int64_t id = 0;
};

/// What lies between two marks. `clean`: the rank was not preempted meanwhile.
struct Interval {
    double seconds = 0;
    bool clean = true;
};

/// A linear product of one rank: y[m, n] = x[m, k] W[n, k]^T, x and y with row strides.
struct LinearShape {
    std::int64_t m = 0, n = 0, k = 0;
    DType weights = DType::fp32;
};

struct World;

/// A kind of device that runs programs: one object drives all ranks of a group. The executor
/// knows nothing else about it. Calls taking a rank are made on that rank's thread, inside
/// on_ranks(), unless they say otherwise.
class Backend {
  public:
    virtual ~Backend() = default;

    virtual std::string_view name() const = 0;
    virtual int ranks() const = 0;

    /// Whether a rank runs in this process; the others run the same program elsewhere. Any thread.
    virtual bool is_local(int /*rank*/) const { return true; }

    /// What rank `rank` runs on, for reports: "core 3, AMD EPYC". Any thread.
    virtual std::string device(int rank) const = 0;

    /// Devices that the machine has of this kind. Any thread. Default: one for each rank.
    virtual int devices() const { return ranks(); }

    /// What a reader of measurements must know: "more ranks than cores". Any thread. Default:
    /// nothing.
    virtual std::vector<std::string> notes() const { return {}; }

    /// Why the step cannot run with weights of this type; empty when it can. Any thread.
    virtual std::string refusal(const Step& step, DType weights) const = 0;

    /// Type of activations and caches, and of experts' weights, where the linears' weights have
    /// this type. Any thread.
    virtual DType activation_dtype(DType /*weights*/) const { return DType::fp32; }

    /// Bytes that all ranks together may still allocate. Any thread.
    virtual double memory_available() const = 0;

    /// Bytes that the packed form of a linear takes, the plain weights being dropped; 0 when it
    /// keeps and uses the plain ones. Any thread.
    virtual double packed_bytes(const LinearShape& shape) const = 0;

    /// Runs `work` on every local rank at once and returns when all have returned. A rank that
    /// throws aborts the group first; the first exception is rethrown here. Throws Error when the
    /// group failed before.
    virtual void on_ranks(const std::function<void(int rank)>& work) = 0;

    virtual Communicator& communicator(int rank) = 0;

    /// Zeroed device memory, aligned for any kernel. Throws Error when there is none.
    virtual void* allocate(int rank, std::size_t bytes) = 0;
    virtual void release(int rank, void* memory) noexcept = 0;  // any thread

    /// The same for memory that collectives read or write.
    virtual void* allocate_exchanged(int rank, std::size_t bytes) { return allocate(rank, bytes); }

    /// Copies between host floats and a device matrix, converting to its type.
    virtual void upload(int rank, const Matrix& to, const float* from) = 0;
    virtual void download(int rank, float* to, const Matrix& from) = 0;
    virtual void upload_ids(int rank, std::int32_t* to, const std::int32_t* from,
                            std::size_t count) = 0;

    /// Brings weights [n, k] into the form that launch() wants for this shape. `plain` lies on the
    /// device; `owner` keeps it alive and may be held on to instead of copying.
    virtual PackedWeights pack(int rank, const LinearShape& shape, const Matrix& plain,
                               std::shared_ptr<void> owner) = 0;

    /// Called once for each bound step before the first launch; the place to make what launch()
    /// needs (tables, primitives). Default: nothing.
    virtual void prepare(int /*rank*/, BoundStep& /*step*/) {}

    /// Runs a compute step. Requires refusal() empty and prepare() done. May return before it is
    /// finished.
    virtual void launch(int rank, const BoundStep& step) = 0;

    /// m += bias on every row; for the bias that follows a reduction.
    virtual void add_bias(int rank, const Matrix& m, const Matrix& bias) = 0;

    /// What `launch_all` launches, recorded instead of run; replay() runs it in one go, without the
    /// host between steps. Requires that all of it has run before. Null, on every rank alike, where
    /// steps can only be launched one by one. Default: null.
    virtual std::shared_ptr<void> capture(int /*rank*/,
                                          const std::function<void()>& /*launch_all*/) {
        return nullptr;
    }
    /// Requires what capture() gave for the rank.
    virtual void replay(int /*rank*/, const std::shared_ptr<void>& /*captured*/) {
        assert(!"nothing was captured");
    }

    /// Records the present. `exact` asks for all that elapsed() can tell, at some cost.
    virtual Mark record(int rank, bool exact) = 0;

    /// The intervals between successive marks of one rank: marks.size() - 1 of them.
    virtual std::vector<Interval> elapsed(int rank, std::span<const Mark> marks) const = 0;

    /// Returns when everything launched on the rank has finished.
    virtual void synchronise(int rank) = 0;
};

/// Names of the backends this program has, the preferred first.
const std::vector<std::string>& backend_names();

/// Makes a backend by name; "auto" takes the first that works. With a world of as many processes as
/// ranks the backend drives the own rank of that; else all ranks are this process's. Throws Error
/// for an unknown name, listing them, and when the backend cannot drive `ranks` ranks.
std::unique_ptr<Backend> make_backend(std::string_view name, int ranks,
                                      const World* world = nullptr);

/// Runs a collective step: the row of the communicator's calls that belongs to its kind, then the
/// bias that follows the reduction. Seconds waited for other ranks. Requires is_collective(kind).
double run_collective(Backend& backend, int rank, const BoundStep& step);

}  // namespace tplan
