#pragma once
#include <string>
#include <vector>

#include "tests/gui/driver.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace tplan::test {

/// Opens a tiny model on a profile of two CPU ranks, ready to run. Files go into the folder.
void open_tiny(Driver& driver, const TempDir& folder);

/// A shell script in the place of `tplan run`: what it writes on standard error is the progress.
void start_script(Driver& driver, const TempDir& folder, const std::string& script);

/// Draws frames until `done` holds, which is asked while there is a worker; fails the test when
/// there is none any more.
template <class Condition>
void frames_until(Driver& driver, const Condition& done) {
    bool seen = false;
    while (driver.work().worker && !(seen = done())) driver.frames(1);
    REQUIRE(seen);
}

}  // namespace tplan::test
