// Terms of the Euler-Maclaurin sum for Hurwitz's zeta function, shared by the scalar and the vector form.
#pragma once

// B_2j / (2j)!, j = 1 to 10
#define CCDL_ZETA_TERMS                                                                                  \
  {                                                                                                      \
    1.0 / 12, -1.0 / 720, 1.0 / 30240, -1.0 / 1209600, 1.0 / 47900160, -5.2841901386874932e-10,          \
        1.3382536530684679e-11, -3.3896802963225829e-13, 8.5860620562778446e-15, -2.1748686985580619e-16 \
  }
