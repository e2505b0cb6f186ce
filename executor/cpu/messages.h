#pragma once
#include <memory>

#include "executor/communicator.h"
#include "executor/transport.h"

namespace tplan::cpu {

/// One rank's end of a group whose ranks are processes without common memory: collectives over
/// messages. Matrices are fp32.
///
/// Every collective begins with a word from each rank to each other about what it is to be, so that
/// the rank that is missing, or in another call, is known by name. all_reduce then sends each rank
/// the part of the elements it is to sum, in rank order, and the sums back to all; the other
/// collectives send what the receiver lacks. abort() reaches the others only as far as the
/// transport's does; a rank that misses another gives up at the deadline.
std::unique_ptr<Communicator> make_message_communicator(std::shared_ptr<Transport> transport);

}  // namespace tplan::cpu
