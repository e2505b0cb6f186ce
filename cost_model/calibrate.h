#pragma once
#include <string>

#include "cost_model/hardware.h"

/// Measured points -> a HardwareProfile. Who measured them is not known here: the executor's probe
/// hands over points, the app joins the two.

namespace tplan {

/// What a machine says about itself, and how it was measured.
struct MachineFacts {
    std::string name;          // of the profile: "this-cpu"
    std::string description;   // processor or device model
    std::string backend;       // "cpu" or "cuda"
    std::string architecture;  // "x86-64", "hopper"
    int devices = 1;           // ranks the machine can run at once
    int sm_count = 1;          // cores that share one device's arithmetic
    Bytes memory;              // per device
    Bytes l2_cache;
    Bandwidth streaming;  // of one device while all of them read; 0 = unknown
    LinkKind link = LinkKind::shared_memory;
    double repeatability = 0;  // share by which nine in ten repeated measurements differ at most
    std::string method;        // for `sources`: "tplan calibrate, 8 rounds of 8, clean median"
    std::string date;          // ISO, "2026-01-31"
};

/// Fits a profile to the points and keeps them as its tables. The best rate seen is the peak, the
/// usual share of it the efficiency; memory bandwidth is the faster of streaming and of reading
/// weights for few rows with all devices at work; the link is a line through the largest and
/// smallest all-reduce; intervals come from predicting each interior product without its own point.
/// Throws Error when there is no product, or, for several devices, no collective to fit.
HardwareProfile fit_profile(const MachineFacts& facts, const Tables& tables);

/// Lays measured tables over an existing profile: datasheet figures stay, points correct them.
HardwareProfile with_tables(HardwareProfile base, const Tables& tables, const Source& source);

}  // namespace tplan
