#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cost_model/hardware.h"

/// Time of collectives: alpha-beta lines, one table row per (collective, implementation,
/// algorithm), folded for one group into candidates of which the cheapest applicable one is taken.
/// Derivation: cost_model/derivation.md.

namespace tplan {

/// One algorithm. On one node: alpha = base_factor * base_latency + hop_factor * steps(n) *
/// latency, beta = wire(n) / (bandwidth_factor * bandwidth).
struct CollectiveCost {
    OpKind op;
    CollectiveImpl implementation;
    std::string_view algorithm;
    double (*steps)(int n);  // message hops one after another
    double (*wire)(int n);   // bytes over a device's link, one way, per byte of the whole tensor
    double base_factor, hop_factor, bandwidth_factor;  // of the protocol, 1 = as the link says
    bool (*applies)(int n, const LinkProfile& link);
    double (*from_bytes)(int n);  // smallest and largest tensor it takes
    double (*to_bytes)(int n);
    bool across_nodes;  // has a hierarchical form over the network
    std::string_view source;
};

/// All rows, NCCL's first.
std::span<const CollectiveCost> collective_costs();

/// One algorithm in one group, for tensors in (from, to]. A row of the table above is a straight
/// line, alpha + beta * bytes, on top of a launch; a fitted row of the link has a ramp and a
/// sharpness (see CollectiveFit) and includes the launch.
struct CollectiveLine {
    double alpha = 0, beta = 0;      // seconds, seconds per byte
    double ramp = 0, ramp_from = 1;  // seconds, bytes
    double sharpness = 1;
    double from = 0, to = 0;   // bytes
    double cap = 0;            // a padded message costs no more; 0 = none
    SizeWidths half_width{};   // of a fitted row; else the profile's
    bool fitted = false;       // to measurements of this kind of link
    bool near = true;          // .. of this device's link and this number of ranks
    bool transferred = false;  // fitted to another device's link
    CollectiveImpl implementation = CollectiveImpl::nccl;
    std::string algorithm{};
};

/// Seconds of the transfer; without the launch for a line that is not fitted. Never falls as the
/// bytes grow, across the lines of one list too.
double line_time(const CollectiveLine& line, double bytes);

/// How a group of ranks is joined.
struct Group {
    int ranks = 1;
    int nodes = 1;        // nodes it spans
    int per_node = 1;     // ranks of the fullest node
    LinkProfile link;     // inside a node
    LinkProfile network;  // between nodes; used when nodes > 1
    std::vector<std::string> notes;
};

/// Places `ranks` ranks on `nodes` nodes of the profile over the named link (empty: the fastest).
/// A link that joins fewer devices than needed (bridged pairs) gives way to the next one of the
/// profile, with a note. Throws Error for a link the profile lacks, for more ranks than devices,
/// and for several nodes without a network; each names the valid choices.
Group make_group(const HardwareProfile& hardware, int ranks, int nodes, const std::string& link);

/// How a collective is called.
struct CollectiveUse {
    std::optional<CollectiveMode> mode{};  // none: as served
    bool one_byte = false;                 // elements of one byte
};

/// In a CUDA graph for engines' own all-reduces, by the host for the rest.
CollectiveMode usual_mode(CollectiveImpl implementation);

/// The lines of one collective in a group: fitted rows of the group's link where it has some for
/// this op, implementation and number of ranks, else rows of the table. An implementation that does
/// not cover the group, or a size, is priced as NCCL (or, on a CPU, as a ring of messages) there.
/// `algorithm` other than empty or "auto" keeps that one; throws Error when no row has it.
std::vector<CollectiveLine> collective_lines(OpKind op, CollectiveImpl implementation,
                                             const Group& group, std::string_view algorithm,
                                             const CollectiveUse& use = {});

/// The cheapest line at `bytes` of the whole tensor; nullptr when `lines` is empty (one rank).
const CollectiveLine* cheapest_line(std::span<const CollectiveLine> lines, double bytes);

}  // namespace tplan
