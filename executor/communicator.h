#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "executor/matrix.h"
#include "executor/trail.h"
#include "models/layout.h"

namespace tplan {

/// Which collective this is: messages name it, and every rank must pass the same one.
struct CollectiveTag {
    std::string_view step;   // step_id() of the executed step
    std::int64_t index = 0;  // position in the executed order
    /// Step::algorithm, for communicators that have several ways; empty: theirs to choose.
    std::string_view algorithm{};
};

/// One rank's end of a group that runs collectives together. Every rank must make the same calls
/// in the same order with the same shapes. A rank that finds another one in a different call
/// throws Error naming both; a rank that waits longer than the deadline throws Error naming the
/// rank it waited for, the step and the collective; after abort() every waiting or later call of
/// every rank throws Error. A failed group stays failed.
///
/// Sums are made in rank order, so that all ranks hold bitwise equal results.
///
/// Collectives return the seconds this rank waited until the last one had arrived: skew between
/// ranks, not traffic. 0 where a communicator cannot tell.
class Communicator {
  public:
    virtual ~Communicator() = default;

    virtual int rank() const = 0;
    virtual int size() const = 0;

    /// out = sum over ranks of in. Both [rows, width], the same shape on every rank; out may be in.
    virtual double all_reduce(const Matrix& in, const Matrix& out, const CollectiveTag& tag) = 0;

    /// out [rows, width] = the columns that all ranks hold, or the rows where `from` cuts them; in
    /// [rows, local_extent(from, width)], widths may differ between ranks. Where ranks hold copies
    /// of a column, one of them is taken.
    virtual double all_gather(const Matrix& in, const Split& from, const Matrix& out,
                              const CollectiveTag& tag) = 0;

    /// out [rows, local_extent(to, width)] = own columns of the sum over ranks of in [rows, width].
    virtual double reduce_scatter(const Matrix& in, const Matrix& out, const Split& to,
                                  const CollectiveTag& tag) = 0;

    /// Parts of a [rows, width] activation change owners: in is cut by `from`, out by `to`, at most
    /// one of them by rows.
    virtual double all_to_all(const Matrix& in, const Split& from, const Matrix& out,
                              const Split& to, std::int64_t width, const CollectiveTag& tag) = 0;

    /// Returns on every rank once all have arrived. A patient one waits as long as the others'
    /// processes are alive, whatever they do; threads have the deadline.
    virtual double barrier(const CollectiveTag& tag, bool patient = false) = 0;

    /// What every rank says, in the order of the ranks. For words about a run, not for numbers of
    /// it.
    virtual std::vector<std::string> exchange(std::string_view own, const CollectiveTag& tag) = 0;

    /// The last steps of this rank, which the runner writes, and of every rank that it can see.
    virtual Trail& trail() = 0;
    virtual std::vector<RankTrail> trails() const = 0;

    /// Seconds a rank waits for another before it gives up.
    virtual void set_deadline(double seconds) = 0;

    /// Makes every waiting and later call on every rank throw. The first reason is kept. Safe from
    /// any thread.
    virtual void abort(const std::string& reason) noexcept = 0;

    /// The reason of the abort; empty while the group is sound.
    virtual std::string last_error() const = 0;
};

}  // namespace tplan
