#!/usr/bin/env node
import "../../../bin/virq.js";
