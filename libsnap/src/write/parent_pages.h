// SPDX-License-Identifier: Apache-2.0
// What ParentPages is.
#pragma once

#include "snap/writer.h"
#include "write/page_table.h"
#include "write/samples.h"

namespace snap {

/// The tables behind what ParentPages::index() made.
class IndexedPages final : public ParentPages {
 public:
  IndexedPages(const Digest& of, std::size_t page_count)
      : parent(of), pages(page_count), pieces(page_count * ((kPageBytes - kSampleBytes) >> kSampleLog2)) {}
  Digest parent;
  PageTable pages;
  SampleTable pieces;
};

}  // namespace snap
