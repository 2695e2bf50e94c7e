// SPDX-License-Identifier: Apache-2.0
// What `vmsnap convert` was asked for.
#pragma once

#include <string>
#include <vector>

#include "chain.h"

namespace snap::tool {

struct ConvertArgs {
  std::string input_format, output_format = "vmsnap";
  std::string snapshot, region, name, parent, machine, domain_xml;
  ParentPlaces parents;
  std::vector<std::string> writer_options, states;
  unsigned threads = 0;
  bool progress = false, quiet = false, lossless = false, all = false;
  std::string source, destination;
};

}  // namespace snap::tool
