namespace tplan {}
