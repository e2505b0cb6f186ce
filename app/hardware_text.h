#pragma once
#include <string>
#include <vector>

#include "cost_model/hardware.h"

namespace tplan {

/// All profiles, one line each.
std::string hardware_list_text();

/// One row of the list.
struct HardwareRow {
    std::string name, architecture;
    int devices = 1;
    Bytes memory;
    Bandwidth memory_bandwidth;
    std::vector<LinkProfile> links;
    static void fields(auto& self, auto&& field) {
        field("name", self.name);
        field("architecture", self.architecture);
        field("devices", self.devices);
        field("memory_bytes", self.memory);
        field("memory_bytes_per_s", self.memory_bandwidth);
        field("links", self.links);
    }
};

/// `tplan.hardware-list/1`: all profiles.
struct HardwareList {
    std::string schema = "tplan.hardware-list/1";
    std::vector<HardwareRow> hardware;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("hardware", self.hardware);
    }
};
HardwareList hardware_list();

/// One profile in full, each figure with its source.
std::string hardware_text(const HardwareProfile& hardware);

}  // namespace tplan
