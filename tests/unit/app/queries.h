#pragma once
#include <string>

#include "app/query.h"

namespace tplan::test {

/// Asks for a model on a profile, all else as a user who says nothing.
inline Query query_of(const std::string& model, const std::string& hardware) {
    Query query;
    query.model = model;
    query.hardware = hardware;
    return query;
}

}  // namespace tplan::test
