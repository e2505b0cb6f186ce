#pragma once
#include <array>
#include <string>
#include <vector>

#include "core/units.h"
#include "models/points.h"

/// An algorithm of an implementation of collectives as fitted to measurements on one kind of link.
/// Derivation: cost_model/derivation.md, section 3.

namespace tplan {

/// Half widths of the 90 % interval by collective_regime().
using SizeWidths = std::array<double, 3>;

/// Sizes whose times miss alike: up to 256 KiB latency decides, above 16 MiB the wire, in between
/// the algorithms change.
std::size_t collective_regime(double bytes);

/// Rows of one (op, implementation, mode) stand in the order of their sizes: the first that takes a
/// size prices it. Every list has one entry per entry of `ranks`; numbers of ranks between two of
/// them are interpolated.
///
///     fixed = latency + ramp * clamp(log2(bytes / ramp_from) / 3, 0, 1)
///     wire  = busbw factor(ranks) * bytes / (bandwidth_share * the link's bandwidth)
///     time  = (fixed^sharpness + wire^sharpness)^(1 / sharpness)
///
/// The time includes the launch. The ramp is what a kernel takes longer once all its threads have
/// something to send; a sharpness below 1 is a pipeline that fills slowly, above 1 a latency that
/// hides part of the transfer.
struct CollectiveFit {
    OpKind op = OpKind::all_reduce;
    CollectiveImpl implementation = CollectiveImpl::nccl;
    CollectiveMode mode = CollectiveMode::eager;
    std::string algorithm;
    std::vector<int> ranks;        // ascending
    std::vector<Bytes> to;         // largest tensor it takes; 0 = any
    std::vector<Seconds> latency;  // of the smallest tensors
    std::vector<Seconds> ramp;
    std::vector<Bytes> ramp_from;         // where the ramp begins; it ends at eight times that
    std::vector<double> bandwidth_share;  // bus bandwidth of very large tensors over the link's
    std::vector<double> sharpness;
    std::vector<SizeWidths> half_width;
    double one_byte_factor = 1;  // time for elements of one byte over this; 0: not for those

    static void fields(auto& self, auto&& field) {
        field("op", self.op);
        field("implementation", self.implementation);
        field("mode", self.mode);
        field("algorithm", self.algorithm);
        field("ranks", self.ranks);
        field("to_bytes", self.to);
        field("latency_s", self.latency);
        field("ramp_s", self.ramp);
        field("ramp_from_bytes", self.ramp_from);
        field("bandwidth_share", self.bandwidth_share);
        field("sharpness", self.sharpness);
        field("half_width", self.half_width);
        field("one_byte_factor", self.one_byte_factor);
    }
    bool operator==(const CollectiveFit&) const = default;
};

/// One row at one number of ranks.
struct CollectiveFitAt {
    double to = 0;  // infinity = any
    double latency = 0, ramp = 0, ramp_from = 1;
    double bandwidth_share = 1, sharpness = 1;
    SizeWidths half_width{0.3, 0.3, 0.3};
    bool fitted = true;  // false: between two fitted numbers of ranks
};

/// Whether a row prices a group of `ranks`: a fitted number, or one between two of them.
bool covers_ranks(const CollectiveFit& row, int ranks);

/// The row at `ranks`, which it must cover: lists interpolated straight in the number of ranks,
/// `to` and `ramp_from` in its logarithm of size.
CollectiveFitAt fit_at(const CollectiveFit& row, int ranks);

/// Bytes that cross a device's link, one way, per byte of the tensor, in the least-traffic
/// algorithm: what nccl-tests calls the bus bandwidth factor (PERFORMANCE.md).
double bus_factor(OpKind op, int ranks);

/// Raises what `rows`, fitted on another host, say of the smallest tensors (latency and ramp) to at
/// least what `floor` says: rows of the same op, implementation and mode over a faster link of the
/// device. No kernel starts sooner because its wires are slower.
void raise_to(std::vector<CollectiveFit>& rows, const std::vector<CollectiveFit>& floor);

/// Throws Error naming `where` for lists of different lengths, ranks that do not ascend, and values
/// out of range.
void check_fit(const CollectiveFit& row, const std::string& where);

}  // namespace tplan
