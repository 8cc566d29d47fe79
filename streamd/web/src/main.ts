import { createApp } from 'vue'

import App from './App.vue'
import { reloadWhenStale } from './freshness'
import { router } from './router'
import './styles/tokens.css'
import './styles/base.css'

reloadWhenStale()
createApp(App).use(router).mount('#app')
