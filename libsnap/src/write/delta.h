// SPDX-License-Identifier: Apache-2.0
// What a writer of a difference knows of the parent.
#pragma once

#include "chain/parent_link.h"
#include "snap/writer.h"
#include "write/page_table.h"
#include "write/samples.h"

namespace snap {

struct Delta {
  ParentLink link;
  const PageTable* moved = nullptr;      // the parent's pages by content
  const SampleTable* pieces = nullptr;   // and by pieces of it
  DeltaForm form = DeltaForm::kAuto;
};

/// Whether a page that is stored compresses better as a XOR with the parent's page: it has so many bytes in common that the XOR is
/// more zeros than the page.
bool prefers_xor(const std::byte* page, const std::byte* parent);

/// The pages of the parent's region that have pieces in common with `bytes`, those of the `count` pages from `first` on, and are none
/// of these. Those with the most come first.
std::vector<std::uint64_t> pages_in_common(const SampleTable& pieces, std::span<const std::byte> bytes, std::uint16_t parent_region,
                                           std::uint64_t first, std::uint64_t count);

}  // namespace snap
